/** Accuracy that is kept and likelihood against bytes a token: a plot of each a family. */

const NAMES = { llava: 'LLaVA-1.5', llava_next: 'LLaVA-NeXT', qwen2_5_vl: 'Qwen2.5-VL' };

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function plotsOf({ originals, rows }) {
  return originals.flatMap(({ family, nll }) => {
    const own = rows.filter((row) => row.family === family && isDrawn(row));
    if (own.length === 0) return [];
    const shared = { bytesUnit: 'bytes', bytesLabel: 'cache bytes a token', height: 520 };
    const title = `Small ${NAMES[family]}: answers over smaller caches`;
    return [
      {
        name: `${family}-accuracy`,
        series: seriesOf(own, ({ kept: { mean, low, high } }) => ({
          value: mean,
          interval: [low, high],
        })),
        options: {
          ...{ ...shared, title, valueLabel: "share of the original's accuracy" },
          original: { value: 1 },
        },
      },
      {
        name: `${family}-likelihood`,
        series: seriesOf(own, (row) => ({ value: row.nll })),
        options: {
          ...{ ...shared, title, valueLabel: 'nats an answer token' },
          ...{ valueUnit: 'number', valueScale: 'log', original: { value: nll } },
        },
      },
    ];
  });
}

/** A window of exact tokens takes bytes that the format's do not say. */
function isDrawn({ cache }) {
  return cache.kvBits !== undefined && cache.residualLength === undefined;
}

/** A line a model and method; rotary keys that have bits of their own are another. */
function seriesOf(rows, figuresOf) {
  const lines = new Map();
  for (const row of rows) {
    const { kvMethod = 'half', kvBits, ropeBits } = row.cache;
    const model = row.table === 'original' ? 'keys and values' : row.table;
    const rotary = ropeBits && ropeBits < 8 ? `, rotary in ${ropeBits}` : '';
    // Halves begin the line of affine.
    const name = `${model}, ${kvBits === 16 ? 'affine' : kvMethod}${rotary}`;
    lines.set(name, [...(lines.get(name) ?? []), row]);
  }
  const isLine = ([, own]) => own.length > 1;
  return [...lines].filter(isLine).map(([name, own]) => ({
    name,
    points: own
      .map((row) => ({ bytes: row.bytesPerToken, ...figuresOf(row) }))
      .sort((a, b) => a.bytes - b.bytes),
  }));
}
