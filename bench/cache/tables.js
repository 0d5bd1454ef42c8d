/** Rows as Markdown, a table a model. */
import { markdownTable } from 'markdown-table';

const HEAD = ['model', 'cache', 'bytes a token', 'times fewer', "of the original's, %", 'nll'];
const percent = (value) => (100 * value).toFixed(1);

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function tablesOf({ rows }) {
  const families = [...new Set(rows.map(({ family }) => family))];
  return [
    '# Tables of cache forms',
    'Written by `npm run cache`. 2,400 questions about 300 pictures, each asked over the cache that its picture filled, paired with the original; 95 % intervals by picture. Bytes are those of the format, scales, zero points and rotary keys included, against keys and values of 16 bits.',
    ...families.flatMap((family) => [
      `## ${family}`,
      markdownTable([
        HEAD,
        ...rows
          .filter((row) => row.family === family)
          .map(({ table, row, bytesPerToken, fewer, kept, nll }) => [
            table,
            row,
            bytesPerToken.toFixed(1),
            fewer.toFixed(1),
            `${percent(kept.mean)} (${percent(kept.low)} to ${percent(kept.high)})`,
            nll.toFixed(4),
          ]),
      ]),
    ]),
  ]
    .join('\n\n')
    .concat('\n');
}
