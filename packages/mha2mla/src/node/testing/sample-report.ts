/** A `report.json` as a conversion of two layers with two KV heads of eight pairs would write it. */
export function sampleReport() {
  const factor = (scale: number) => ({
    relativeError: 0.1 * scale,
    retainedEnergy: 1 - (0.1 * scale) ** 2,
    tokens: 1000,
    usedFallback: false,
    spectrum: { ranks: [0, 1, 2, 4, 8, 24], tail: [1, 0.5, 0.2, 0.01 * scale ** 2, 1e-3, 0] },
  });
  const scores = (from: number) => Array.from({ length: 8 }, (_, pair) => from / (1 + pair));
  return {
    family: 'qwen2_5_vl',
    options: { strategy: 'mkl', ropeDim: 4, rank: 4, factor: 'joint', cache: { kvBits: 4 } },
    headDim: 16,
    mropeSection: [2, 3, 3],
    layers: [0, 1].map((layer) => ({
      layer,
      vision: factor(1 + layer),
      text: factor(2 + layer),
      ropePairs: [
        [0, 1],
        [0, 2 + layer],
      ],
      pairScores: [scores(1), scores(2)],
    })),
    cacheBytesPerToken: { original: 256, converted: 96 },
  };
}
