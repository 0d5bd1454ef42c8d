/** Rows as Markdown: what the least bytes are for what is kept, then a table a model. */
import { markdownTable } from 'markdown-table';

const HEAD = [
  ...['cache', 'bytes a token', 'times fewer', 'with positions', 'held'],
  ...["of the original's, %", 'nll'],
];
/** Shares of the original's accuracy that may have to be kept. */
const KEPT = [0.99, 0.98, 0.95, 0.9];
const percent = (value) => (100 * value).toFixed(1);

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function tablesOf({ originals, rows }) {
  const families = originals.map(({ family }) => family);
  return [
    '# Tables of cache forms',
    'Written by `npm run cache`. 2,400 questions about 300 pictures, each asked over the cache that its picture filled, paired with the original; 95 % intervals by picture. Bytes are those of the format, scales, zero points and rotary keys included, over all layers, and so many times fewer than those of keys and values of 16 bits; with positions, held once for all layers, in these models of four (4 bytes, 16 for Qwen2.5-VL), so many. Held: what the tensors take a token, with exact vectors, as float32, and the padding of a batch.',
    '## How far it can be pushed',
    'The fewest bytes with which the mean is kept, of forms without a window of exact tokens.',
    fewestTable(families, rows),
    ...originals.map(({ family, accuracy, nll }) => {
      return `## ${family}\n\nThe original answers ${percent(accuracy)} % right, nll ${nll.toFixed(4)}.\n\n${familyTables(rows, family)}`;
    }),
  ]
    .join('\n\n')
    .concat('\n');
}

function familyTables(rows, family) {
  const own = rows.filter((row) => row.family === family);
  return [...new Set(own.map(({ table }) => table))]
    .map((table) => {
      const title = table === 'original' ? 'Keys and values of the original' : `Latents, ${table}`;
      const cells = own.filter((row) => row.table === table).map(cellsOf);
      return `### ${title}, ${family}\n\n${markdownTable([HEAD, ...cells])}`;
    })
    .join('\n\n');
}

function cellsOf({ row, bytesPerToken, heldBytesPerToken, fewer, fewerWithPositions, kept, nll }) {
  const numbers = [bytesPerToken, fewer, fewerWithPositions, heldBytesPerToken];
  return [
    ...[row, ...numbers.map((number) => number.toFixed(1))],
    `${percent(kept.mean)} (${percent(kept.low)} to ${percent(kept.high)})`,
    nll.toFixed(4),
  ];
}

/** Groups of tokens fill up in a window of exact ones, which is long beside these prompts. */
function hasWindow({ cache }) {
  return cache.residualLength !== undefined || cache.kvMethod === 'kivi';
}

function fewestTable(families, rows) {
  const head = ['model', ...KEPT.map((share) => `${100 * share} % kept`)];
  const lines = families.flatMap((family) =>
    ['keys and values', 'latents'].map((what) => {
      const own = rows.filter((row) => {
        const isOriginal = row.table === 'original';
        return row.family === family && isOriginal === (what !== 'latents') && !hasWindow(row);
      });
      return [`${family}, ${what}`, ...KEPT.map((share) => fewestOf(own, share))];
    }),
  );
  return markdownTable([head, ...lines]);
}

function fewestOf(rows, share) {
  const [best] = rows
    .filter(({ kept, cache }) => kept.mean >= share && cache.kvBits !== undefined)
    .sort((a, b) => b.fewer - a.fewer || b.kept.mean - a.kept.mean);
  if (best === undefined) return '';
  const name = best.table === 'original' ? best.row : `${best.table}; ${best.row}`;
  return `${best.fewer.toFixed(1)} times: ${name} (${percent(best.kept.mean)} %)`;
}
