/** Accuracy against the cache's bytes, as `drawAgainstBytes` and `mha2mla report` take it. */

const MODEL_NAMES = { llava: 'LLaVA-1.5', llava_next: 'LLaVA-NeXT', qwen2_5_vl: 'Qwen2.5-VL' };
/** Rows that a plot can hold and that show what the tables say. */
const DRAWN = {
  strategy: ['uniform', 'norm2', 'mkl', 'uniform, fitted', 'mkl, fitted', 'greedy, fitted'],
  init: [
    'weights, decoupled',
    ...['activations', 'attention'].flatMap((init) => [`${init}, decoupled`, `${init}, joint`]),
    'activations, decoupled, centered',
  ],
};
const TITLES = {
  strategy: 'which rotary pairs are kept',
  init: 'how keys and values are factored',
};

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function plotsOf({ originals, rows }) {
  return originals.flatMap(({ family, accuracy }) =>
    Object.entries(DRAWN).map(([table, names]) => ({
      name: `${family}-${table}`,
      title: `Small ${MODEL_NAMES[family]}: ${TITLES[table]}`,
      series: names
        .map((name) => ({ name, points: pointsOf(rows, accuracy, { family, table, row: name }) }))
        .filter(({ points }) => points.length > 0),
      valueLabel: 'accuracy before healing',
      original: { value: accuracy },
    })),
  );
}

/** Of each size, the row's point with the division of bytes that all sizes have. */
function pointsOf(rows, original, { family, table, row }) {
  return rows
    .filter((one) => one.family === family && one.table === table && one.row === row)
    .filter(({ share }) => Number.isInteger(Math.log2(share)) || [0.375, 0.1875].includes(share))
    .map(({ share, accuracyLost: { mean, low, high } }) => ({
      bytes: 100 * share,
      value: original - mean,
      interval: [original - high, original - low],
    }))
    .sort((a, b) => a.bytes - b.bytes);
}
