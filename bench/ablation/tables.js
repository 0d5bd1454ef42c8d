/** A summary as Markdown: claims in short, then every row at every point. */
import { markdownTable } from 'markdown-table';

const percent = (value) => (100 * value).toFixed(1);
const signed = (value, digits = 1) => `${value > 0 ? '+' : ''}${value.toFixed(digits)}`;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function tablesOf({ originals, rows, claims }) {
  return [
    '# Tables of the ablation',
    'Written by `npm run ablation`. Accuracy in percent, before healing; 95 % intervals by picture.',
    originals
      .map(
        ({ family, accuracy, nll }) =>
          `- ${family}: original ${percent(accuracy)} %, nll ${nll.toFixed(4)}`,
      )
      .join('\n'),
    '## Claims',
    'Points: model and size. Better, worse: those whose interval of the accuracy (of the likelihood) leaves out 0. Between sets: the largest difference that another calibration set makes to a point.',
    claimsTable(claims),
    ...originals.flatMap(({ family }) => familyTables(rows.filter((row) => row.family === family))),
  ]
    .join('\n\n')
    .concat('\n');
}

function claimsTable(claims) {
  const names = [...new Set(claims.map(({ claim }) => claim))];
  const header = [
    'claim',
    'points',
    'better',
    'worse',
    'accuracy',
    'least',
    'most',
    'between sets',
    'nll',
    'better',
    'worse',
  ];
  const lines = names.map((name) => {
    const own = claims.filter(({ claim }) => claim === name);
    const gains = own.map(({ accuracy }) => 100 * accuracy.mean);
    const spread = own.map(({ accuracyBySet: sets }) => Math.max(...sets) - Math.min(...sets));
    const count = (holds) => String(own.filter(holds).length);
    return [
      name,
      String(own.length),
      count(({ accuracy }) => accuracy.low > 0),
      count(({ accuracy }) => accuracy.high < 0),
      ...[mean(gains), Math.min(...gains), Math.max(...gains)].map((value) => signed(value)),
      percent(Math.max(...spread)),
      signed(mean(own.map(({ nll }) => nll.mean)), 3),
      count(({ nll }) => nll.high < 0),
      count(({ nll }) => nll.low > 0),
    ];
  });
  return markdownTable([header, ...lines], { align: ['l', ...header.slice(1).map(() => 'r')] });
}

function familyTables(rows) {
  const tables = ['strategy', 'init'].flatMap((table) => {
    const own = rows.filter((row) => row.table === table);
    return own.length === 0 ? [] : [`## ${own[0].family}: ${table}`, pointsTable(own)];
  });
  const divisions = rows.filter(({ table, row }) => table === 'width' || row === EVEN_ROW);
  if (!divisions.some(({ table }) => table === 'width')) return tables;
  const { family } = divisions[0];
  return [...tables, `## ${family}: rotary + latent dims a head`, divisionsTable(divisions)];
}

/** The row of the strategies that the divisions of bytes vary. */
const EVEN_ROW = 'mkl, fitted';

/** What the same bytes are worth as rotary dims or as latent ones: a line a share. */
function divisionsTable(rows) {
  const shareOf = ({ share }) => `${percent(share)} %`;
  const divided = new Set(rows.filter(({ table }) => table === 'width').map(shareOf));
  const lines = [...divided].map((share) => [
    share,
    ...rows
      .filter((row) => shareOf(row) === share)
      .sort((a, b) => b.ropeDim - a.ropeDim)
      .map(({ ropeDim, rank, accuracy }) => `${ropeDim} + ${rank}: ${percent(mean(accuracy))}`),
  ]);
  const widest = Math.max(...lines.map((line) => line.length));
  return markdownTable([['share', 'accuracy', ...Array(widest - 2).fill('')], ...lines]);
}

/** Accuracy and likelihood, averaged over calibration sets. */
function pointsTable(rows) {
  const sizeOf = ({ ropeDim, rank }) => `${ropeDim} + ${rank}`;
  const shares = new Map();
  // Ranks of their own for each layer may leave some bytes over.
  for (const row of rows) {
    shares.set(sizeOf(row), Math.max(row.share, shares.get(sizeOf(row)) ?? 0));
  }
  const sizes = [...shares].sort((a, b) => b[1] - a[1]).map(([size]) => size);
  const names = [...new Set(rows.map(({ row }) => row))];
  const lines = names.map((name) => [
    name,
    ...sizes.map((size) => {
      const found = rows.find((row) => row.row === name && sizeOf(row) === size);
      return found ? `${percent(mean(found.accuracy))} / ${mean(found.nll).toFixed(3)}` : '';
    }),
  ]);
  const header = sizes.map((size) => `${percent(shares.get(size))} % (${size})`);
  return markdownTable([['accuracy / nll', ...header], ...lines], {
    align: ['l', ...sizes.map(() => 'r')],
  });
}
