/** Accuracy that is kept against bytes a token, a plot a family, a line a model. */

const NAMES = { llava: 'LLaVA-1.5', llava_next: 'LLaVA-NeXT', qwen2_5_vl: 'Qwen2.5-VL' };

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function plotsOf({ rows }) {
  return Object.keys(NAMES).flatMap((family) => {
    const own = rows.filter((row) => row.family === family && row.cache.kvBits !== undefined);
    const models = [...new Set(own.map(({ table }) => table))];
    const series = models.map((table) => ({
      name: table === 'original' ? 'keys and values' : `latents, ${table} dims`,
      points: own
        .filter((row) => row.table === table)
        .map(({ bytesPerToken, kept }) => ({
          bytes: bytesPerToken,
          value: kept.mean,
          interval: [kept.low, kept.high],
        }))
        .sort((a, b) => a.bytes - b.bytes),
    }));
    if (series.length === 0) return [];
    const options = {
      title: `${NAMES[family]}: what answers over smaller caches keep`,
      valueLabel: "share of the original's accuracy",
      bytesUnit: 'bytes',
      bytesLabel: 'bytes a token',
      original: { value: 1 },
    };
    return [{ name: family, series, options }];
  });
}
