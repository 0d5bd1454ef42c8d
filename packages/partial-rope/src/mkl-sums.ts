/** Sums of MKL divergences over samples and shards, and how modalities are combined. */

/** Sums over rows, by modality of the row, so that samples and shards add up. */
export interface MklSums {
  /** [K * H / 2] each: sums over rows and over the query heads of a KV head. */
  vision: Float64Array;
  text: Float64Array;
  visionRows: number;
  textRows: number;
}

export function emptyMklSums({
  numKeyValueHeads,
  headDim,
}: {
  numKeyValueHeads: number;
  headDim: number;
}): MklSums {
  const length = (numKeyValueHeads * headDim) / 2;
  return {
    vision: new Float64Array(length),
    text: new Float64Array(length),
    visionRows: 0,
    textRows: 0,
  };
}

/**
 * Combine the modalities: the mean over a modality's rows, weighted.
 * @param visionWeight share of vision, in [0, 1]. A modality without rows gives all to the other.
 * @returns scores [K * H / 2].
 */
export function mklScores(
  sums: MklSums,
  { visionWeight = 0.5 }: { visionWeight?: number } = {},
): Float64Array {
  if (!(visionWeight >= 0 && visionWeight <= 1)) {
    throw new RangeError(`mklScores: visionWeight must lie in [0, 1], got ${visionWeight}.`);
  }
  const { vision, text, visionRows, textRows } = sums;
  if (visionRows + textRows === 0) throw new RangeError('mklScores: expected rows, got none.');
  const weight = textRows === 0 ? 1 : visionRows === 0 ? 0 : visionWeight;
  const perVision = weight / Math.max(1, visionRows);
  const perText = (1 - weight) / Math.max(1, textRows);
  return vision.map((value, i) => value * perVision + text[i]! * perText);
}
