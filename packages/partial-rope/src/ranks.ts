/**
 * Rank files, the reference's form of a selection: per layer and KV head, the rank of every dim,
 * 0 the most important, both halves of a pair alike. A dim keeps RoPE where rank < ropeDim / 2.
 */
import { checkRopeDim, type RopePairs } from './rope-pairs';

export interface PairsFromRanksOptions {
  headDim: number;
  numKeyValueHeads: number;
  /** Dims a head that keep their rotation, even. */
  ropeDim: number;
}

/**
 * Read one layer's selection off its ranks.
 * @param ranks [K, headDim].
 * @throws RangeError when the two halves differ, or a head has not exactly ropeDim / 2 such pairs.
 */
export function pairsFromRanks(
  ranks: ArrayLike<number>,
  { headDim, numKeyValueHeads, ropeDim }: PairsFromRanksOptions,
): RopePairs {
  checkRopeDim('pairsFromRanks', ropeDim, headDim);
  if (ranks.length !== numKeyValueHeads * headDim) {
    throw new RangeError(
      `pairsFromRanks: ranks must be [${numKeyValueHeads}, ${headDim}], got ${ranks.length} values.`,
    );
  }
  const half = headDim / 2;
  return Array.from({ length: numKeyValueHeads }, (_, head) => {
    const kept: number[] = [];
    for (let pair = 0; pair < half; pair++) {
      const rank = ranks[head * headDim + pair]!;
      if (rank !== ranks[head * headDim + half + pair]) {
        throw new RangeError(
          `pairsFromRanks: both dims of a pair must have one rank, got ${rank} and ${ranks[head * headDim + half + pair]} for pair ${pair} of head ${head}.`,
        );
      }
      if (rank < ropeDim / 2) kept.push(pair);
    }
    if (kept.length !== ropeDim / 2) {
      throw new RangeError(
        `pairsFromRanks: head ${head} must have ${ropeDim / 2} pairs ranked below that, got ${kept.length}. Ranks must be a permutation.`,
      );
    }
    return Int32Array.from(kept);
  });
}

/**
 * Rank the pairs of one layer by their scores, the highest first, equals by lower index.
 * @param scores [K, headDim / 2].
 * @returns ranks [K, headDim].
 * @throws RangeError on NaN, or more pairs than a byte can rank.
 */
export function ranksFromScores(scores: Float64Array, numKeyValueHeads: number): Uint8Array {
  const half = scores.length / numKeyValueHeads;
  if (!Number.isSafeInteger(half) || half > 256) {
    throw new RangeError(
      `ranksFromScores: scores must be [${numKeyValueHeads}, at most 256 pairs], got ${scores.length} values.`,
    );
  }
  if (scores.some(Number.isNaN)) {
    throw new RangeError('ranksFromScores: scores must be numbers, got NaN.');
  }
  const ranks = new Uint8Array(2 * scores.length);
  for (let head = 0; head < numKeyValueHeads; head++) {
    const own = scores.subarray(head * half, (head + 1) * half);
    const order = [...own.keys()].sort((a, b) => own[b]! - own[a]! || a - b);
    for (const [rank, pair] of order.entries()) {
      ranks[head * 2 * half + pair] = rank;
      ranks[head * 2 * half + half + pair] = rank;
    }
  }
  return ranks;
}
