/**
 * What is measured: one conversion and healing a cell. A table of results at three sizes of each
 * model with three seeds (of calibration set and training alike), then one factor at a time on one
 * model, at the size where most is lost and much comes back. Conversions take what those of the
 * ablation take, healing has the defaults of `heal`, but for what a row names.
 */
import { BEST } from '../ablation/cells.js';

/** [rotary dims a head, latent dims a KV head] of heads of 32 dims, and updates where not the default. */
export const SIZES = {
  llava: [[[8, 8]], [[4, 4]], [[2, 2], 900]],
  llava_next: [[[8, 16]], [[8, 8], 350], [[4, 4], 900]],
  qwen2_5_vl: [[[8, 16]], [[8, 8], 500], [[4, 4], 900]],
};

/** Where one factor at a time is varied. */
const ABLATED = { family: 'llava_next', point: [8, 8] };

const ABLATION = {
  objective: {
    default: {},
    'answers alone': { kd: 0, hidden: 0, mix: 0 },
    'answers, logits': { hidden: 0 },
    'answers, layers': { kd: 0 },
    'no mixed pictures': { mix: 0 },
  },
  policy: {
    default: {},
    v2: { targetModules: 'v2' },
    v3: { targetModules: 'v3' },
    v4: { targetModules: 'v4' },
    v5: { targetModules: 'v5' },
    v6: { targetModules: 'v6' },
    'attention and MLP': { targetModules: '.*' },
  },
  adapter: {
    default: {},
    dora: { adapter: 'dora' },
    'r 4': { r: 4 },
    'no adapter, v4': { adapter: 'none', targetModules: 'v4', learningRate: 1e-3 },
  },
  recipe: {
    default: {},
    'two stages': { stages: 2 },
    'layerwise, 100 updates a layer': { recipe: 'layerwise', steps: 100 },
    'progressive, from 16': { recipe: 'progressive', from: 16 },
  },
  samples: {
    ...Object.fromEntries([250, 500, 1000].map((n) => [`${n}`, { questions: n }])),
    2000: {},
  },
};

/**
 * @typedef {import('../ablation/cells.js').Cell & { heal?: object }} HealingCell
 * @returns {HealingCell[]} in the order in which they are worth measuring.
 */
export function healingCells() {
  const families = Object.keys(SIZES);
  const originals = families.map((family) => ({ family, table: 'original', row: 'original' }));
  const results = [0, 1, 2].flatMap((seed) =>
    Object.entries(SIZES).flatMap(([family, sizes]) =>
      sizes.flatMap(([point, steps]) => [
        cellOf({ family, table: 'result', row: 'converted', point, seed }),
        cellOf({
          family,
          table: 'result',
          row: 'healed',
          point,
          seed,
          heal: steps ? { steps } : {},
        }),
      ]),
    ),
  );
  const first = ({ seed }) => seed === 0;
  const isSmall = ({ family, ropeDim }) => ropeDim === SIZES[family].at(-1)[0][0];
  const repeated = results.filter((cell) => !first(cell));
  return [
    ...originals,
    ...results.filter(first),
    ...repeated.filter((cell) => !isSmall(cell)),
    ...ablationCells(),
    ...repeated.filter(isSmall),
  ];
}

function ablationCells() {
  const factors = Object.entries(ABLATION).flatMap(([table, rows]) =>
    Object.entries(rows).map(([row, heal]) => cellOf({ ...ABLATED, table, row, heal })),
  );
  const inits = ['weights', 'activations', 'attention'].flatMap((init) => [
    cellOf({ ...ABLATED, table: 'init', row: `${init}, converted`, options: { init } }),
    cellOf({ ...ABLATED, table: 'init', row: `${init}, healed`, options: { init }, heal: {} }),
  ]);
  const centred = cellOf({
    ...{ ...ABLATED, table: 'init', row: 'activations, centred, healed' },
    options: { center: true },
    heal: {},
  });
  return [...factors, ...inits, centred];
}

function cellOf({ family, table, row, point: [ropeDim, rank], seed = 0, options, heal }) {
  return {
    ...{ family, table, row, ropeDim, rank, seed },
    options: { ...BEST, ...options },
    ...(heal && { heal }),
  };
}
