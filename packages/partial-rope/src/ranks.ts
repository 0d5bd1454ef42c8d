/**
 * Rank files, the reference's form of a selection: per layer and KV head, the rank of every dim,
 * 0 the most important, both halves of a pair alike. A dim keeps RoPE where rank < ropeDim / 2.
 */
import { checkRopeDim, type RopePairs } from './rope-pairs';
import { checkSections, type RopeSection } from './rope-sections';

/** Options of `pairsFromRanks`. */
export interface PairsFromRanksOptions {
  headDim: number;
  numKeyValueHeads: number;
  /** Dims a head that keep their rotation, even. */
  ropeDim: number;
  /** Take the first of each section by itself. Default: those ranked below ropeDim / 2. */
  sections?: readonly RopeSection[];
}

/**
 * Read one layer's selection off its ranks.
 * @param ranks [K, headDim].
 * @throws RangeError when the two halves differ, or a head has not exactly as many such pairs.
 */
export function pairsFromRanks(
  ranks: ArrayLike<number>,
  options: PairsFromRanksOptions,
): RopePairs {
  const { headDim, numKeyValueHeads, ropeDim, sections } = options;
  checkRopeDim('pairsFromRanks', ropeDim, headDim);
  if (sections) checkSections('pairsFromRanks', sections, options);
  if (ranks.length !== numKeyValueHeads * headDim) {
    throw new RangeError(
      `pairsFromRanks: ranks must be [${numKeyValueHeads}, ${headDim}], got ${ranks.length} values.`,
    );
  }
  return Array.from({ length: numKeyValueHeads }, (_, head) => {
    const own = pairRanks(ranks, head, headDim);
    const kept = sections
      ? sections.flatMap((section) => firstOf(own, section, head))
      : ranked(own, ropeDim / 2, 0);
    if (kept.length === ropeDim / 2) return Int32Array.from(kept);
    throw new RangeError(
      `pairsFromRanks: head ${head} must have ${ropeDim / 2} pairs ranked below that, got ${kept.length}. Ranks must be a permutation.`,
    );
  });
}

/** The ranks of a head's pairs, [headDim / 2]. */
function pairRanks(ranks: ArrayLike<number>, head: number, headDim: number): number[] {
  const half = headDim / 2;
  return Array.from({ length: half }, (_, pair) => {
    const [rank, other] = [ranks[head * headDim + pair]!, ranks[head * headDim + half + pair]!];
    if (rank === other) return rank;
    throw new RangeError(
      `pairsFromRanks: both dims of a pair must have one rank, got ${rank} and ${other} for pair ${pair} of head ${head}.`,
    );
  });
}

/** The pairs of a section that come first, ascending. */
function firstOf(ranks: readonly number[], section: RopeSection, head: number): number[] {
  const { first, size, kept } = section;
  const own = ranks.slice(first, first + size);
  const end = kept === 0 ? 0 : [...own].sort((a, b) => a - b)[kept - 1]! + 1;
  const found = ranked(own, end, first);
  if (found.length === kept) return found;
  throw new RangeError(
    `pairsFromRanks: head ${head} must have ${kept} pairs ranked first from pair ${first} on, got ${found.length} that are. Ranks must be a permutation.`,
  );
}

/** Pairs ranked below `end`, counted from `first`. */
function ranked(ranks: readonly number[], end: number, first: number): number[] {
  return ranks.flatMap((rank, i) => (rank < end ? [first + i] : []));
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
