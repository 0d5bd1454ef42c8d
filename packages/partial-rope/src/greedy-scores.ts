/**
 * Greedy choice of rotary pairs (EliteKV, arXiv 2503.01586): start with all pairs un-rotated, and at
 * each step rotate the one whose addition minimises E|s_partial - s_full| over rows, the keys that
 * they see, samples, and the query heads of a KV head. With d_k what un-rotating pair k does to a
 * score (see `mkl-scores.ts`), s_partial - s_full = Σ d_k over the pairs not yet rotated.
 */
import {
  type AttentionSample,
  checkSample,
  type HeadCounts,
  rowsThatSeeKeys,
} from './attention-sample';
import { evenlySpaced } from './evenly-spaced';
import { RotatedKeys } from './rotated-keys';
import { RowChanges } from './row-changes';

/** Options of `greedyScores`. */
export interface GreedyOptions {
  /**
   * Most rows of a sample, evenly spaced. Time grows with scores × (H / 2)², memory with scores ×
   * H / 2 × 4 bytes, the scores those of a KV head: its query heads × rows × the keys that they see.
   */
  maxRows?: number;
  /** Score this KV head alone, so that heads can be shared out, or paused between. Default all. */
  keyHead?: number;
}

/**
 * Score pairs by the step at which greedy selection rotates them.
 * @returns scores [K * H / 2], or [H / 2] of one KV head: E|s_partial - s_full| before a pair is
 *   rotated, those ahead of it rotated and the others not; where a later error is larger, a hair
 *   more than that, so that scores fall in the order of the choice.
 * @throws RangeError when array lengths do not fit, nothing is seen, or scores are not finite.
 */
export function greedyScores(
  samples: readonly AttentionSample[],
  counts: HeadCounts,
  { maxRows = Number.POSITIVE_INFINITY, keyHead }: GreedyOptions = {},
): Float64Array {
  for (const sample of samples) checkSample('greedyScores', sample, counts);
  const { numKeyValueHeads, headDim } = counts;
  const half = headDim / 2;
  const seen = samples.map((sample) => evenlySpaced(rowsThatSeeKeys(sample), maxRows));
  if (seen.every((rows) => rows.length === 0)) {
    throw new RangeError('greedyScores: expected rows, got none.');
  }
  const all = Array.from({ length: numKeyValueHeads }, (_, head) => head);
  const heads = keyHead === undefined ? all : all.filter((head) => head === keyHead);
  if (heads.length === 0) {
    throw new RangeError(
      `greedyScores: keyHead must be one of ${numKeyValueHeads} KV heads, got ${keyHead}.`,
    );
  }
  const scores = new Float64Array(heads.length * half);
  for (const [i, head] of heads.entries()) {
    scores.set(greedyHead(changesOf(samples, seen, counts, head), head), i * half);
  }
  return scores;
}

/** d_k of every score of a KV head, H / 2 arrays of one length. */
function changesOf(
  samples: readonly AttentionSample[],
  seen: readonly (readonly number[])[],
  { numAttentionHeads, numKeyValueHeads, headDim }: HeadCounts,
  keyHead: number,
): Float32Array[] {
  const group = numAttentionHeads / numKeyValueHeads;
  const columns = samples.map((sample, i) => seen[i]!.map((row) => seenKeys(sample, row)));
  const length = columns.flat().reduce((sum, keys) => sum + group * keys.length, 0);
  const out = Array.from({ length: headDim / 2 }, () => new Float32Array(length));
  let at = 0;
  for (const [i, sample] of samples.entries()) {
    const rows = sample.rowColumn.length;
    const keys = new RotatedKeys(headDim, sample.keyCos.length / (headDim / 2));
    keys.set(sample, keyHead);
    const changes = new RowChanges(headDim, keys, 'unrotate');
    for (let head = keyHead * group; head < (keyHead + 1) * group; head++) {
      for (const [r, row] of seen[i]!.entries()) {
        changes.set(sample, head * rows + row, row);
        const own = columns[i]![r]!;
        for (const [pair, target] of out.entries()) {
          const start = pair * keys.keys;
          for (let j = 0; j < own.length; j++) target[at + j] = changes.deltas[start + own[j]!]!;
        }
        at += own.length;
      }
    }
  }
  return out;
}

function seenKeys({ rowColumn, keyMask }: AttentionSample, row: number): number[] {
  const columns = Array.from({ length: rowColumn[row]! + 1 }, (_, j) => j);
  return keyMask ? columns.filter((j) => keyMask[j] !== 0) : columns;
}

/** Scores of one KV head's pairs. */
function greedyHead(changes: readonly Float32Array[], keyHead: number): Float64Array {
  const n = changes[0]!.length;
  const rest = new Float64Array(n); // s_partial - s_full
  for (const own of changes) for (let e = 0; e < n; e++) rest[e]! += own[e]!;
  let error = rest.reduce((sum, value) => sum + Math.abs(value), 0);
  const left = new Set(changes.keys());
  const order: number[] = [];
  const errors: number[] = [];
  while (left.size > 0) {
    const best = bestPair(changes, left, rest);
    if (best === undefined || !Number.isFinite(error)) {
      throw new RangeError(
        `greedyScores: scores must be finite, got ${error} in KV head ${keyHead}.`,
      );
    }
    errors.push(error / n);
    order.push(best.pair);
    left.delete(best.pair);
    error = best.error;
    const own = changes[best.pair]!;
    for (let e = 0; e < n; e++) rest[e]! -= own[e]!;
  }
  return fallingScores(order, errors);
}

/** The pair that leaves the least error when it is rotated, too; the lower of equals. */
function bestPair(
  changes: readonly Float32Array[],
  left: ReadonlySet<number>,
  rest: Float64Array,
): { pair: number; error: number } | undefined {
  let best: { pair: number; error: number } | undefined;
  for (const pair of left) {
    const own = changes[pair]!;
    let error = 0;
    for (let e = 0; e < rest.length; e++) error += Math.abs(rest[e]! - own[e]!);
    if (error < (best?.error ?? Number.POSITIVE_INFINITY)) best = { pair, error };
  }
  return best;
}

/** Errors by pair, raised where needed so that they fall in the order of the choice. */
function fallingScores(order: readonly number[], errors: readonly number[]): Float64Array {
  const scores = new Float64Array(order.length);
  let next = 0;
  for (let i = order.length - 1; i >= 0; i--) {
    next = Math.max(errors[i]!, next * (1 + Number.EPSILON));
    scores[order[i]!] = next;
  }
  return scores;
}
