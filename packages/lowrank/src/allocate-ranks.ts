/**
 * Share a budget of bytes among latents: greedily, the widening first that lowers the predicted
 * error most for each byte. Where errors are convex in the rank (sums of the eigenvalues that are
 * dropped are) and a dim costs the same everywhere, no other choice predicts less; elsewhere the
 * error is at most one widening's gain above the least.
 */

export interface RankCurve {
  /** Predicted error at each rank from 0, in one unit for all latents; the last is the highest rank. */
  errors: ArrayLike<number>;
  /** How often the error counts, such as the tokens that the latent is for. Default 1. */
  weight?: number;
  /** Bytes at each rank from 0, not falling. */
  bytes: ArrayLike<number>;
}

/** Options of `allocateRanks`. */
export interface AllocateOptions {
  /** Bytes of all latents together. */
  budget: number;
  /** Least rank of each latent. Default 1. */
  floor?: number;
  /** Highest rank of each latent. Default what its errors go to. */
  cap?: number;
  /** What a rank above `floor` is widened by. Default 1. */
  step?: number;
}

/** Ranks that share a budget, their bytes, and the error that is left. */
export interface RankAllocation {
  /** In the order of the curves. */
  ranks: number[];
  bytes: number;
  /** Sum of the weighted errors. */
  error: number;
}

/** @throws RangeError on figures that are not finite, or a budget too small for `floor`. */
export function allocateRanks(
  curves: readonly RankCurve[],
  { budget, floor = 1, cap = Number.POSITIVE_INFINITY, step = 1 }: AllocateOptions,
): RankAllocation {
  check(curves, { budget, floor, cap, step });
  const ranks = curves.map(() => floor);
  let left = budget - total(curves, ranks).bytes;
  if (left < 0) {
    throw new RangeError(
      `allocateRanks: budget must be at least ${budget - left} bytes for rank ${floor}, got ${budget}.`,
    );
  }
  for (;;) {
    const moves = curves.map((curve, i) => bestMove(curve, ranks[i]!, { left, cap, step }));
    let best = 0;
    for (const [i, { slope }] of moves.entries()) if (slope > moves[best]!.slope) best = i;
    const move = moves[best];
    if (!move || move.slope <= 0) break;
    left -= move.bytes;
    ranks[best] = move.rank;
  }
  return betterOf(total(curves, ranks), uniform(curves, { budget, floor, cap, step }));
}

interface Move {
  rank: number;
  bytes: number;
  /** Error lost for each byte; 0 where nothing fits or nothing is gained. */
  slope: number;
}

/** The widening of one latent that fits and gains most a byte; of equals the smallest. */
function bestMove(
  { errors, weight = 1, bytes }: RankCurve,
  from: number,
  { left, cap, step }: { left: number; cap: number; step: number },
): Move {
  let best: Move = { rank: from, bytes: 0, slope: 0 };
  for (let rank = from + step; rank <= Math.min(cap, errors.length - 1); rank += step) {
    const cost = bytes[rank]! - bytes[from]!;
    if (cost > left) break;
    const gain = weight * (errors[from]! - errors[rank]!);
    // A dim that fills up a word is free.
    const slope = cost > 0 ? gain / cost : gain > 0 ? Number.POSITIVE_INFINITY : 0;
    if (slope > best.slope) best = { rank, bytes: cost, slope };
  }
  return best;
}

/** The widest allocation of one rank that fits. */
function uniform(
  curves: readonly RankCurve[],
  { budget, floor, cap, step }: Required<AllocateOptions>,
): RankAllocation {
  const highest = Math.min(cap, ...curves.map(({ errors }) => errors.length - 1));
  let widest = total(
    curves,
    curves.map(() => floor),
  );
  for (let rank = floor + step; rank <= highest; rank += step) {
    const next = total(
      curves,
      curves.map(() => rank),
    );
    if (next.bytes > budget) break;
    widest = next;
  }
  return widest;
}

function betterOf(uneven: RankAllocation, even: RankAllocation): RankAllocation {
  if (even.error === uneven.error) return even.bytes <= uneven.bytes ? even : uneven;
  return even.error < uneven.error ? even : uneven;
}

function total(curves: readonly RankCurve[], ranks: number[]): RankAllocation {
  const sum = (of: (curve: RankCurve, rank: number) => number) =>
    curves.reduce((all, curve, i) => all + of(curve, ranks[i]!), 0);
  return {
    ranks,
    bytes: sum(({ bytes }, rank) => bytes[rank]!),
    error: sum(({ errors, weight = 1 }, rank) => weight * errors[rank]!),
  };
}

function check(curves: readonly RankCurve[], options: Required<AllocateOptions>): void {
  const { budget, floor, cap, step } = options;
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  if (!(whole(floor, 0) && whole(step, 1) && cap >= floor && budget >= 0)) {
    throw new RangeError(
      `allocateRanks: floor and step must be whole numbers from 0 and 1, cap at least floor, budget at least 0, got floor=${floor}, step=${step}, cap=${cap}, budget=${budget}.`,
    );
  }
  for (const [i, { errors, weight = 1, bytes }] of curves.entries()) {
    if (errors.length <= floor || bytes.length < errors.length) {
      throw new RangeError(
        `allocateRanks: errors must go to rank ${floor} and bytes as far, got ${errors.length} and ${bytes.length} values in curve ${i}.`,
      );
    }
    const bad = [weight, ...Array.from(errors), ...Array.from(bytes)].find(
      (value) => !(value >= 0 && Number.isFinite(value)),
    );
    if (bad !== undefined) {
      throw new RangeError(
        `allocateRanks: errors, bytes and weight must be finite and at least 0, got ${bad} in curve ${i}.`,
      );
    }
  }
}
