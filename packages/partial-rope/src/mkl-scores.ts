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

/**
 * Add one sample's rows to `sums`. A row that sees padding only takes no part.
 * @throws RangeError when array lengths do not fit.
 */
export function addMklScores(sums: MklSums, sample: MklSample, options: MklOptions): void {
  const { numAttentionHeads, numKeyValueHeads, headDim } = options;
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / (headDim / 2);
  checkSample(sums, sample, options, rows, keys);
  const counted = rowsThatSeeKeys(sample);
  const work = new MklHead(headDim, keys, options.variant ?? 'unrotate');
  const group = numAttentionHeads / numKeyValueHeads;
  for (let head = 0; head < numAttentionHeads; head++) {
    const keyHead = Math.floor(head / group);
    if (head % group === 0) work.setKeys(sample, keyHead);
    for (const row of counted) {
      const target = sample.rowIsVision[row] ? sums.vision : sums.text;
      work.addRow(sample, head * rows + row, row, target, (keyHead * headDim) / 2);
    }
  }
  for (const row of counted) {
    if (sample.rowIsVision[row]) sums.visionRows++;
    else sums.textRows++;
  }
}

function rowsThatSeeKeys({ rowColumn, keyMask }: MklSample): number[] {
  const first = keyMask ? keyMask.findIndex((bit) => bit !== 0) : 0;
  return first < 0 ? [] : [...rowColumn.keys()].filter((row) => rowColumn[row]! >= first);
}

function checkSample(
  sums: MklSums,
  sample: MklSample,
  { numAttentionHeads, numKeyValueHeads, headDim }: MklOptions,
  rows: number,
  keys: number,
): void {
  if (headDim % 2 !== 0 || numAttentionHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `addMklScores: headDim must be even and KV heads divide the query heads, got headDim=${headDim}, numAttentionHeads=${numAttentionHeads}, numKeyValueHeads=${numKeyValueHeads}.`,
    );
  }
  const half = headDim / 2;
  const { query, key, queryCos, querySin, keyCos, keySin, rowIsVision, keyMask } = sample;
  const expected: [string, ArrayLike<number> | undefined, number][] = [
    ['query', query, numAttentionHeads * rows * headDim],
    ['queryCos', queryCos, rows * half],
    ['querySin', querySin, rows * half],
    ['keyCos', keyCos, Math.floor(keys) * half],
    ['keySin', keySin, keyCos.length],
    ['key', key, numKeyValueHeads * keys * headDim],
    ['rowIsVision', rowIsVision, rows],
    ['keyMask', keyMask, keys],
    ['sums.vision', sums.vision, numKeyValueHeads * half],
    ['sums.text', sums.text, numKeyValueHeads * half],
  ];
  for (const [name, values, length] of expected) {
    if (values && values.length !== length) {
      throw new RangeError(
        `addMklScores: ${name} must hold ${length} values, got ${values.length}.`,
      );
    }
  }
  const outside = sample.rowColumn.find((column) => column < 0 || column >= keys);
  if (outside !== undefined) {
    throw new RangeError(`addMklScores: rowColumn must lie in [0, ${keys}), got ${outside}.`);
  }
}
