import { markdownTable } from 'markdown-table';
import { byteRatio, SHAPES } from './shapes.js';

const TITLES = {
  core: 'a token over the cache, without projections',
  decode: 'a token, with projections',
  prefill: 'a prompt',
};

/**
 * A table a shape, backend and kind: the original's milliseconds, and how many times faster each arm
 * is, beside the ratio of cache bytes.
 * @param clock `wall` or `cpu`.
 */
export function tablesOf(results, clock) {
  const tables = new Map();
  for (const [key, cell] of Object.entries(results)) {
    const [shape, backend, kind, context] = key.split(' ');
    const title = `${shape}, ${backend}: ${TITLES[kind]} (bytes: ${byteRatio(SHAPES[shape]).toFixed(2)})`;
    if (!tables.has(title)) tables.set(title, []);
    tables.get(title).push({ context: Number(context), cell });
  }
  return [...tables]
    .map(([title, rows]) => `${title}\n\n${tableOf(rows.sort(byContext), clock)}`)
    .join('\n\n');
}

const byContext = (a, b) => a.context - b.context;

function tableOf(rows, clock) {
  const arms = [...new Set(rows.flatMap(({ cell }) => Object.keys(cell)))];
  const best = (own) => (own?.[clock]?.length > 0 ? Math.min(...own[clock]) : undefined);
  return markdownTable([
    ['context', 'original, ms', ...arms.filter((arm) => arm !== 'original')],
    ...rows.map(({ context, cell }) => {
      const original = best(cell.original);
      const cells = arms
        .filter((arm) => arm !== 'original')
        .map((arm) => {
          const own = best(cell[arm]);
          if (own === undefined || original === undefined) return cell[arm]?.error ? 'fails' : '';
          return `${(original / own).toFixed(2)} x`;
        });
      return [context, original?.toFixed(2) ?? '', ...cells];
    }),
  ]);
}
