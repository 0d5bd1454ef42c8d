/** A summary as Markdown: results by model and size, then a table a factor. */
import { markdownTable } from 'markdown-table';

const percent = (value) => (100 * value).toFixed(1);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const HEAD = [
  'accuracy, %',
  'least',
  'most',
  "of the original's, %",
  'interval',
  'nll',
  'trained, %',
  's',
];

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function tablesOf({ rows }) {
  const results = rows.filter(({ table }) => table === 'result');
  const factors = [...new Set(rows.map(({ table }) => table))].filter((one) => one !== 'result');
  return [
    '# Tables of healing',
    'Written by `npm run healing`. 2,400 questions, paired with the original; 95 % intervals by picture. Seconds are the least over the seeds, of one thread beside another cell.',
    markdownTable([
      ['model', 'cache, %', '', 'seeds', ...HEAD],
      ...results.map((row) => [
        row.family,
        `${percent(row.share)} (${row.ropeDim} + ${row.rank})`,
        row.row,
        String(row.accuracy.length),
        ...figuresOf(row),
      ]),
    ]),
    ...factors.flatMap((factor) => {
      const own = rows.filter(({ table }) => table === factor);
      const [{ family, ropeDim, rank }] = own;
      return [
        `## ${factor}: ${family}, ${ropeDim} + ${rank}`,
        markdownTable([['', ...HEAD], ...own.map((row) => [row.row, ...figuresOf(row)])]),
      ];
    }),
  ]
    .join('\n\n')
    .concat('\n');
}

function figuresOf({ accuracy, kept, nll, trainableShare, healSeconds }) {
  return [
    percent(mean(accuracy)),
    percent(Math.min(...accuracy)),
    percent(Math.max(...accuracy)),
    percent(kept.mean),
    `${percent(kept.low)} to ${percent(kept.high)}`,
    mean(nll).toFixed(4),
    trainableShare === undefined ? '' : percent(trainableShare),
    healSeconds === undefined ? '' : Math.min(...healSeconds).toFixed(0),
  ];
}
