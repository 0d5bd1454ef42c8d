/** Sums of MKL divergences over samples and shards, and how modalities are combined. */

/** Sums over rows and over the query heads of a KV head, so that samples and shards add up. */
export interface MklSums {
  /** Whose modality tells divergences apart: the row's, or the keys'. */
  split: 'rows' | 'keys';
  /** [K * H / 2] each: of vision rows and of text rows, or within vision keys and text keys. */
  vision: Float64Array;
  text: Float64Array;
  /** [K * H / 2], of the attention's split between vision keys and text keys; 0 with `rows`. */
  between: Float64Array;
  visionRows: number;
  textRows: number;
}

/** Options of `emptyMklSums`. */
export interface EmptyMklSumsOptions {
  numKeyValueHeads: number;
  headDim: number;
  /** Default `rows`. */
  split?: 'rows' | 'keys';
}

/** Sums of no sample, for `addMklScores` to add to. */
export function emptyMklSums(options: EmptyMklSumsOptions): MklSums {
  const { numKeyValueHeads, headDim, split = 'rows' } = options;
  const length = (numKeyValueHeads * headDim) / 2;
  return {
    split,
    vision: new Float64Array(length),
    text: new Float64Array(length),
    between: new Float64Array(length),
    visionRows: 0,
    textRows: 0,
  };
}

/**
 * Combine the modalities, w the weight of vision. By rows: w times the mean over vision rows and
 * 1 - w times that over text rows, so that many image tokens do not outvote few words. By keys: the
 * mean over all rows of 2 w vision + 2 (1 - w) text + between, which is the whole divergence at 1/2.
 * @param visionWeight w, in [0, 1]. By rows, a modality without rows gives all to the other.
 * @returns scores [K * H / 2].
 * @throws RangeError for a weight out of range, and sums without rows.
 */
export function mklScores(
  sums: MklSums,
  { visionWeight = 0.5 }: { visionWeight?: number } = {},
): Float64Array {
  if (!(visionWeight >= 0 && visionWeight <= 1)) {
    throw new RangeError(`mklScores: visionWeight must lie in [0, 1], got ${visionWeight}.`);
  }
  const { split, vision, text, between, visionRows, textRows } = sums;
  const rows = visionRows + textRows;
  if (rows === 0) throw new RangeError('mklScores: expected rows, got none.');
  if (split === 'keys') {
    const [ofVision, ofText] = [2 * visionWeight, 2 - 2 * visionWeight];
    return vision.map((value, i) => (ofVision * value + ofText * text[i]! + between[i]!) / rows);
  }
  const weight = textRows === 0 ? 1 : visionRows === 0 ? 0 : visionWeight;
  const perVision = weight / Math.max(1, visionRows);
  const perText = (1 - weight) / Math.max(1, textRows);
  return vision.map((value, i) => value * perVision + text[i]! * perText);
}
