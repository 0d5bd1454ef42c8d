/**
 * What is measured: one conversion a cell. Rows of two tables, at points of the cache's size, with
 * calibration sets. Rows rather than the product: strategies at the best init, inits at the best
 * strategy; then how the bytes are divided between rotary keys and latents.
 */

/**
 * What a row does not name: the best strategy and the best init that were known when the tables were
 * laid out. All said, so that a later default changes no row.
 */
export const BEST = {
  strategy: 'mkl',
  unrotate: 'fitted',
  init: 'activations',
  center: false,
  decouple: true,
  propagate: 'converted',
};

/** [rotary dims a head, latent dims a KV head], shares of the bytes of a head of 32: 37.5 % down. */
const BUDGET_POINTS = [
  [8, 16],
  [8, 8],
  [8, 4],
  [4, 4],
];
/** Of the model with as many KV heads as heads: 6.25 %. */
const MHA_POINT = [2, 2];
/** A latent of 12 dims in all, the rotary part as wide as it is above; others have 8 to 96 dims. */
const NARROW_RANK = { llava: 2, llava_next: 6, qwen2_5_vl: 6 };
/** The same bytes with other rotary parts. */
const WIDTH_POINTS = [
  ...[12, 4, 2, 0].map((ropeDim) => [ropeDim, 16 - ropeDim]),
  ...[4, 2, 0].map((ropeDim) => [ropeDim, 12 - ropeDim]),
  ...[6, 2, 0].map((ropeDim) => [ropeDim, 8 - ropeDim]),
];

const PLAIN = ['high', 'low', 'uniform', 'norm2', 'mkl', 'greedy'];
const FITTED = ['uniform', 'norm2', 'mkl', 'greedy'];
const STRATEGY_ROWS = {
  ...Object.fromEntries(PLAIN.map((strategy) => [strategy, { strategy, unrotate: 'plain' }])),
  ...Object.fromEntries(FITTED.map((strategy) => [`${strategy}, fitted`, { strategy }])),
  'mkl zero, fitted': { mklVariant: 'zero' },
  'mkl keys, fitted': { mklSplit: 'keys' },
};

const INITS = ['weights', 'activations', 'attention'];

/** Groups of heads with a latent of their own are for models with many KV heads. */
function initRows(family, rank, ropeDim) {
  const rows = {};
  const isBudget = rank < 16 && !isNarrow({ family, rank, ropeDim });
  const groupings = family === 'llava' && isBudget ? [1, 2, 6] : [1];
  for (const groups of groupings) {
    for (const init of INITS) {
      // Of weights alone, both modalities have the same factors: one row tells both.
      for (const decouple of init === 'weights' ? [true] : [true, false]) {
        const name = [init, decouple ? 'decoupled' : 'joint', groups > 1 && `${groups} groups`];
        // One group goes unsaid, so that rows of both tables which are the same are one cell.
        rows[name.filter(Boolean).join(', ')] = { init, decouple, ...(groups > 1 && { groups }) };
      }
    }
  }
  return {
    ...rows,
    'activations, decoupled, centered': { center: true },
    'activations, joint, centered': { center: true, decouple: false },
    'attention, decoupled, centered': { init: 'attention', center: true },
    'best, calibrated on the original': { propagate: 'original' },
    // The same bytes, a rank of its own for each layer and modality.
    'best, measured ranks': { allocation: 'measured' },
  };
}

/** Rows that claims are about: measured with every calibration set. */
const SEEDED = new Set([
  ...['uniform', 'mkl'].flatMap((row) => [row, `${row}, fitted`]),
  'greedy, fitted',
  'weights, decoupled',
  ...['activations', 'attention'].flatMap((init) => [`${init}, decoupled`, `${init}, joint`]),
  'activations, decoupled, centered',
  'best, measured ranks',
]);

/**
 * @typedef {{ family: string, table: string, row: string, ropeDim: number, rank: number,
 *   seed: number, options: object }} Cell
 */

/**
 * Cells in the order in which they are worth measuring: all rows with the first calibration set,
 * the rows of claims with the others, then the division of bytes.
 * @param {readonly string[]} families
 * @returns {Cell[]}
 */
export function ablationCells(families) {
  const cells = [0, 1, 2].flatMap((seed) =>
    families.flatMap((family) => [
      ...tableCells('strategy', () => STRATEGY_ROWS, family, seed),
      ...tableCells('init', (rank, ropeDim) => initRows(family, rank, ropeDim), family, seed),
    ]),
  );
  const widths = families.flatMap((family) =>
    WIDTH_POINTS.map((point) => cellOf('width', `${point[0]} rotary dims`, {}, family, point, 0)),
  );
  return [...cells.filter(({ seed }) => seed === 0), ...cells.filter(isExtra), ...widths];
}

/** Where answers are neither all kept nor all lost: two sizes of each model. */
const SEEDED_SIZES = {
  llava: ['4 + 4', '8 + 2'],
  llava_next: ['8 + 8', '8 + 4'],
  qwen2_5_vl: ['8 + 8', '8 + 4'],
};

function isExtra({ family, seed, row, rank, ropeDim }) {
  const isSized = SEEDED_SIZES[family].includes(`${ropeDim} + ${rank}`);
  return seed > 0 && SEEDED.has(row) && isSized;
}

function isNarrow({ family, rank, ropeDim }) {
  return ropeDim === 8 && rank === NARROW_RANK[family];
}

function tableCells(table, rowsAt, family, seed) {
  const points = [
    ...BUDGET_POINTS,
    ...(family === 'llava' ? [MHA_POINT] : []),
    [8, NARROW_RANK[family]],
  ];
  return points.flatMap(([ropeDim, rank]) =>
    Object.entries(rowsAt(rank, ropeDim)).map(([row, options]) =>
      cellOf(table, row, options, family, [ropeDim, rank], seed),
    ),
  );
}

function cellOf(table, row, options, family, [ropeDim, rank], seed) {
  return { family, table, row, ropeDim, rank, seed, options: { ...BEST, ...options } };
}

/**
 * A few cells that show laws in seconds: everything kept is the original, in whatever form; the
 * more is kept, the nearer.
 * @returns {Cell[]}
 */
export function smokeCells() {
  const whole = { unrotate: 'plain', strategy: 'high' };
  const cell = (row, options, point) => cellOf('smoke', row, options, 'llava', point, 0);
  return [
    cell('all, weights', { ...whole, init: 'weights' }, [32, 32]),
    cell('all, joint', { ...whole, decouple: false }, [32, 32]),
    cell('half', { ...whole, init: 'weights' }, [32, 16]),
    cell('mkl', {}, [8, 4]),
    cell('joint', { decouple: false }, [8, 4]),
  ];
}
