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
import {
  type AttentionSample,
  checkSample,
  type HeadCounts,
  rowsThatSeeKeys,
} from './attention-sample';
import { MklHead } from './mkl-head';
import type { MklSums } from './mkl-sums';
import { RotatedKeys } from './rotated-keys';

export interface MklOptions extends HeadCounts {
  /** Un-rotate the pair (default), or take it out. */
  variant?: 'unrotate' | 'zero';
}

/**
 * Add one sample's rows to `sums`. A row that sees padding only takes no part.
 * @throws RangeError when array lengths do not fit.
 */
export function addMklScores(sums: MklSums, sample: AttentionSample, options: MklOptions): void {
  const { numAttentionHeads, numKeyValueHeads, headDim } = options;
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / (headDim / 2);
  checkSample('addMklScores', sample, options);
  checkSums(sums, options);
  const counted = rowsThatSeeKeys(sample);
  const rotated = new RotatedKeys(headDim, keys);
  const work = new MklHead(headDim, rotated, options.variant ?? 'unrotate');
  const group = numAttentionHeads / numKeyValueHeads;
  for (let head = 0; head < numAttentionHeads; head++) {
    const keyHead = Math.floor(head / group);
    if (head % group === 0) rotated.set(sample, keyHead);
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

function checkSums({ vision, text }: MklSums, { numKeyValueHeads, headDim }: MklOptions): void {
  const length = (numKeyValueHeads * headDim) / 2;
  if (vision.length === length && text.length === length) return;
  throw new RangeError(
    `addMklScores: sums must hold ${length} values a modality, got ${vision.length} and ${text.length}.`,
  );
}
