/** One head's part of the MKL score: see `mkl-scores.ts` for the formula. */
import type { AttentionSample } from './attention-sample';
import { klOfChange } from './kl-of-change';
import type { RotatedKeys } from './rotated-keys';
import { RowChanges } from './row-changes';
import { softmaxRow } from './softmax-row';

/** Where divergences go, [H / 2] each. */
export interface MklTargets {
  /** Within each set of keys, times the set's share of the attention. */
  within: readonly Float64Array[];
  /** Of the shares themselves. Needed where there are several sets. */
  between?: Float64Array;
}

/** Scratch space of one head, reused from row to row. */
export class MklHead {
  private readonly changes: RowChanges;
  /** Of each set of keys: scores and P within the set, [T]. */
  private readonly sets: readonly { scores: Float64Array; weights: Float64Array }[];
  /** Of the sets: log of their share, less the largest; the share; and what a pair does to it. */
  private readonly shares: { scores: Float64Array; weights: Float64Array; deltas: Float64Array };

  /** @param masks sets of keys that attention is looked at by; 0 where a key is not of the set. */
  constructor(
    headDim: number,
    keys: RotatedKeys,
    variant: 'unrotate' | 'zero',
    private readonly masks: readonly (Uint8Array | undefined)[],
  ) {
    this.changes = new RowChanges(headDim, keys, variant);
    const array = (length: number) => new Float64Array(length);
    this.sets = masks.map(() => ({ scores: array(keys.keys), weights: array(keys.keys) }));
    const n = masks.length;
    this.shares = { scores: array(n), weights: array(n), deltas: array(n) };
  }

  /** Add the divergences of one row, which must see a key of some set. */
  addRow(sample: AttentionSample, queryRow: number, row: number, targets: MklTargets): void {
    const { changes, sets, shares, masks } = this;
    const visible = changes.set(sample, queryRow, row);
    for (const [i, { scores, weights }] of sets.entries()) {
      scores.set(changes.scores.subarray(0, visible));
      shares.scores[i] = softmaxRow(scores, weights, visible, masks[i]);
    }
    softmaxRow(shares.scores, shares.weights, sets.length);
    const keys = changes.scores.length;
    for (let pair = 0; pair < changes.deltas.length / keys; pair++) {
      for (const [i, { scores, weights }] of sets.entries()) {
        const change = klOfChange(scores, weights, changes.deltas, pair * keys, visible);
        targets.within[i]![pair]! += shares.weights[i]! * change.divergence;
        shares.deltas[i] = change.lift;
      }
      if (!targets.between) continue;
      const { scores, weights, deltas } = shares;
      targets.between[pair]! += klOfChange(scores, weights, deltas, 0, sets.length).divergence;
    }
  }
}
