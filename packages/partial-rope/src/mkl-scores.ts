/**
 * Modality-aware KL sensitivity of rotary pairs (MKL; MHA2MLA-VLM, arXiv 2601.11464, defined here
 * as its published rank files suggest): T[h, k] = mean over query rows of KL(P || P^(k)), where P
 * is the head's attention and P^(k) the same with pair k un-rotated:
 *
 *   s^(k) = s - [R(p_i) q]_k · [R(p_j) k]_k / √H + q_k · k_k / √H.
 *
 * With d = s^(k) - s, KL(P || P^(k)) = log Σ_j P_j e^{d_j} - Σ_j P_j d_j, which needs no second
 * softmax. `zero` drops the pair from the score instead. All arithmetic is in float64.
 *
 * Modalities are told apart by the row's token, or by the keys' (chain rule; every term >= 0):
 *
 *   KL(P || P') = Σ_m P(m) KL(P(·|m) || P'(·|m)) + KL(P(m) || P'(m)).
 */
import {
  type AttentionSample,
  checkSample,
  type HeadCounts,
  rowsThatSeeKeys,
} from './attention-sample';
import { MklHead, type MklTargets } from './mkl-head';
import type { MklSums } from './mkl-sums';
import { RotatedKeys } from './rotated-keys';

export interface MklOptions extends HeadCounts {
  /** Un-rotate the pair (default), or take it out. */
  variant?: 'unrotate' | 'zero';
}

/**
 * Add one sample's rows to `sums`, which say how modalities are told apart. A row that sees padding
 * only takes no part.
 * @throws RangeError when array lengths do not fit, or the keys' modality is needed and not given.
 */
export function addMklScores(sums: MklSums, sample: AttentionSample, options: MklOptions): void {
  const { numAttentionHeads, numKeyValueHeads, headDim } = options;
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / (headDim / 2);
  checkSample('addMklScores', sample, options);
  checkSums(sums, options);
  const counted = rowsThatSeeKeys(sample);
  const rotated = new RotatedKeys(headDim, keys);
  const work = new MklHead(headDim, rotated, options.variant ?? 'unrotate', keySets(sums, sample));
  const group = numAttentionHeads / numKeyValueHeads;
  for (let head = 0; head < numAttentionHeads; head++) {
    const keyHead = Math.floor(head / group);
    if (head % group === 0) rotated.set(sample, keyHead);
    const [vision, text] = [true, false].map((isVision) =>
      targetsOf(sums, isVision, keyHead, headDim / 2),
    );
    for (const row of counted) {
      work.addRow(sample, head * rows + row, row, sample.rowIsVision[row] ? vision! : text!);
    }
  }
  for (const row of counted) {
    if (sample.rowIsVision[row]) sums.visionRows++;
    else sums.textRows++;
  }
}

/** The keys that attention is looked at by: all, or those of vision and those of text. */
function keySets(
  { split }: MklSums,
  { keyMask, keyIsVision }: AttentionSample,
): (Uint8Array | undefined)[] {
  if (split === 'rows') return [keyMask];
  if (!keyIsVision) {
    throw new RangeError(
      'addMklScores: keyIsVision must be given where sums are split by keys, got undefined.',
    );
  }
  return [1, 0].map((vision) =>
    keyIsVision.map((bit, j) => (keyMask?.[j] !== 0 && (bit === 0 ? 0 : 1) === vision ? 1 : 0)),
  );
}

function targetsOf(sums: MklSums, isVision: boolean, keyHead: number, half: number): MklTargets {
  const own = (values: Float64Array) => values.subarray(keyHead * half, (keyHead + 1) * half);
  if (sums.split === 'rows') return { within: [own(isVision ? sums.vision : sums.text)] };
  return { within: [own(sums.vision), own(sums.text)], between: own(sums.between) };
}

function checkSums({ vision, text }: MklSums, { numKeyValueHeads, headDim }: MklOptions): void {
  const length = (numKeyValueHeads * headDim) / 2;
  if (vision.length === length && text.length === length) return;
  throw new RangeError(
    `addMklScores: sums must hold ${length} values a modality, got ${vision.length} and ${text.length}.`,
  );
}
