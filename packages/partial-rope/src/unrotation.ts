/**
 * What takes the place of a rotation. A pair that loses its rotation would score q_k · k_k, as if
 * every key stood where the query stands. Here the query's pair is first multiplied by a constant
 * complex number a, which turns and scales it towards the distances that the head attends to, and
 * which is folded into the query's rows, so that it costs nothing at run time.
 *
 * Per query head all removed pairs are fitted together, by least squares under the attention P:
 *
 *   minimise Σ_rows Var_P(δ),  δ_j = Σ_k [R(p_i) q]_k · [R(p_j) k]_k - [a_k q]_k · k_k,
 *
 * twice the second-order estimate of KL(P || P'), in which what is common to a row cancels.
 */
import {
  type AttentionSample,
  checkSample,
  type HeadCounts,
  rowsThatSeeKeys,
} from './attention-sample';
import { evenlySpaced } from './evenly-spaced';
import type { RopePairs } from './rope-pairs';
import { RotatedKeys } from './rotated-keys';
import { solvePositiveDefinite } from './solve-positive-definite';
import { UnrotationHead } from './unrotation-head';

/** Normal equations, which add up over samples and shards. */
export interface UnrotationSums extends HeadCounts {
  /** Per KV head, the pairs that lose their rotation, ascending. */
  readonly removed: RopePairs;
  /** Per query head [n, n], the lower triangle, n = 2 unknowns a removed pair. */
  readonly gram: readonly Float64Array[];
  /** Per query head [n]. */
  readonly target: readonly Float64Array[];
}

/** Complex multipliers of the query's pairs, [N, H / 2]; 1 where a pair keeps its rotation. */
export interface Unrotation {
  real: Float64Array;
  imaginary: Float64Array;
}

/**
 * Sums of no sample, for `addUnrotation` to add to.
 * @param pairs those that keep their rotation, per KV head.
 */
export function emptyUnrotationSums(pairs: RopePairs, counts: HeadCounts): UnrotationSums {
  const { numAttentionHeads, numKeyValueHeads, headDim } = counts;
  const all = Array.from({ length: headDim / 2 }, (_, pair) => pair);
  const removed = pairs.map((kept) => Int32Array.from(all.filter((pair) => !kept.includes(pair))));
  const group = numAttentionHeads / numKeyValueHeads;
  const unknowns = Array.from(
    { length: numAttentionHeads },
    (_, head) => 2 * removed[Math.floor(head / group)]!.length,
  );
  return {
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    removed,
    gram: unknowns.map((n) => new Float64Array(n * n)),
    target: unknowns.map((n) => new Float64Array(n)),
  };
}

/**
 * Add one sample's rows.
 * @param maxRows most rows that are taken, evenly spaced: time grows with rows × keys × unknowns².
 * @throws RangeError when array lengths do not fit.
 */
export function addUnrotation(
  sums: UnrotationSums,
  sample: AttentionSample,
  { maxRows = Number.POSITIVE_INFINITY }: { maxRows?: number } = {},
): void {
  checkSample('addUnrotation', sample, sums);
  const { numAttentionHeads, numKeyValueHeads, headDim, removed } = sums;
  const rows = sample.rowColumn.length;
  const group = numAttentionHeads / numKeyValueHeads;
  const keys = new RotatedKeys(headDim, sample.keyCos.length / (headDim / 2));
  const seen = evenlySpaced(rowsThatSeeKeys(sample), maxRows);
  for (let head = 0; head < numAttentionHeads; head++) {
    const keyHead = Math.floor(head / group);
    if (head % group === 0) keys.set(sample, keyHead);
    const work = new UnrotationHead(headDim, keys, removed[keyHead]!);
    for (const row of seen) {
      work.addRow(sample, head * rows + row, row, sums.gram[head]!, sums.target[head]!);
    }
  }
}

/**
 * Solve for the multipliers.
 * @param ridge pull towards 1, as a share of the mean diagonal of a head's normal equations.
 */
export function solveUnrotation(
  sums: UnrotationSums,
  { ridge = 1e-3 }: { ridge?: number } = {},
): Unrotation {
  const { numAttentionHeads, numKeyValueHeads, headDim, removed } = sums;
  const half = headDim / 2;
  const real = new Float64Array(numAttentionHeads * half).fill(1);
  const imaginary = new Float64Array(numAttentionHeads * half);
  for (let head = 0; head < numAttentionHeads; head++) {
    const found = solveHead(sums.gram[head]!, sums.target[head]!, ridge);
    if (!found) continue;
    const keyHead = Math.floor((head * numKeyValueHeads) / numAttentionHeads);
    for (const [i, pair] of removed[keyHead]!.entries()) {
      real[head * half + pair] = found[2 * i]!;
      imaginary[head * half + pair] = found[2 * i + 1]!;
    }
  }
  return { real, imaginary };
}

/** `undefined` where nothing was seen, or nothing was removed. */
function solveHead(
  gram: Float64Array,
  target: Float64Array,
  ridge: number,
): Float64Array | undefined {
  const n = target.length;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += gram[i * n + i]!;
  if (!(trace > 0)) return undefined;
  const pull = (ridge * trace) / n;
  const matrix = gram.slice();
  const right = target.slice();
  for (let i = 0; i < n; i++) {
    matrix[i * n + i]! += pull;
    if (i % 2 === 0) right[i]! += pull; // towards 1 + 0i
  }
  return solvePositiveDefinite(matrix, right);
}
