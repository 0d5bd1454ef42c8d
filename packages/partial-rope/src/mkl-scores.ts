/**
 * Modality-aware KL sensitivity of rotary pairs (MKL; MHA2MLA-VLM, arXiv 2601.11464, defined here
 * as its published rank files suggest): T[h, k] = mean over query rows of KL(P || P^(k)), where P
 * is the head's attention and P^(k) the same with pair k un-rotated:
 *
 *   s^(k) = s - [R(p_i) q]_k · [R(p_j) k]_k / √H + q_k · k_k / √H.
 *
 * With d = s^(k) - s, KL(P || P^(k)) = log Σ_j P_j e^{d_j} - Σ_j P_j d_j, which needs no second
 * softmax. `zero` drops the pair from the score instead. All arithmetic is in float64.
 */
import { MklHead } from './mkl-head';
import type { MklSums } from './mkl-sums';

export interface MklSample {
  /** Queries before rotation, of the sampled rows, [N, L, H]. */
  query: ArrayLike<number>;
  /** Keys before rotation, [K, T, H]; N is a multiple of K. */
  key: ArrayLike<number>;
  /** Cosines and sines of each row's angles, [L, H / 2]. */
  queryCos: ArrayLike<number>;
  querySin: ArrayLike<number>;
  /** Of each key's angles, [T, H / 2]. */
  keyCos: ArrayLike<number>;
  keySin: ArrayLike<number>;
  /** Column of each sampled row, [L]: it sees keys 0 .. column. */
  rowColumn: Int32Array;
  /** 1 where the row's token is vision, [L]. */
  rowIsVision: Uint8Array;
  /** 0 where a key is padding, [T]. Default: none is. */
  keyMask?: Uint8Array;
}

export interface MklOptions {
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  /** Un-rotate the pair (default), or take it out. */
  variant?: 'unrotate' | 'zero';
}

/** Add one sample's rows to `sums`. @throws RangeError when array lengths do not fit. */
export function addMklScores(sums: MklSums, sample: MklSample, options: MklOptions): void {
  const { numAttentionHeads, numKeyValueHeads, headDim } = options;
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / (headDim / 2);
  checkSample(sample, options, rows, keys);
  const work = new MklHead(headDim, keys, options.variant ?? 'unrotate');
  for (let head = 0; head < numAttentionHeads; head++) {
    const keyHead = Math.floor((head * numKeyValueHeads) / numAttentionHeads);
    work.rotateKeys(sample, keyHead);
    for (let row = 0; row < rows; row++) {
      const target = sample.rowIsVision[row] ? sums.vision : sums.text;
      work.addRow(sample, head * rows + row, row, target, (keyHead * headDim) / 2);
    }
  }
  for (const isVision of sample.rowIsVision) {
    if (isVision) sums.visionRows++;
    else sums.textRows++;
  }
}

function checkSample(
  sample: MklSample,
  { numAttentionHeads, numKeyValueHeads, headDim }: MklOptions,
  rows: number,
  keys: number,
): void {
  const expected: [keyof MklSample, number][] = [
    ['query', numAttentionHeads * rows * headDim],
    ['key', numKeyValueHeads * keys * headDim],
    ['queryCos', (rows * headDim) / 2],
    ['querySin', (rows * headDim) / 2],
    ['keySin', (keys * headDim) / 2],
    ['rowIsVision', rows],
  ];
  for (const [name, length] of expected) {
    const got = sample[name]!.length;
    if (got !== length) {
      throw new RangeError(`addMklScores: ${name} must hold ${length} values, got ${got}.`);
    }
  }
  const outside = sample.rowColumn.find((column) => column < 0 || column >= keys);
  if (outside !== undefined) {
    throw new RangeError(`addMklScores: rowColumn must lie in [0, ${keys}), got ${outside}.`);
  }
}
