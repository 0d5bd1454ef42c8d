/** Errors by rank, known at ranks that no budget decides, so that curves of all budgets are one. */

export interface ErrorCurve {
  /** Latent dims a KV head, ascending. */
  ranks: readonly number[];
  errors: readonly number[];
}

/** 1, 2, 3, 4, 6, 8, 12, … as far as the first that is at least `highest`, at most `widest`. */
export function ranksToMeasure(highest: number, widest: number): number[] {
  const ranks = [1];
  for (let power = 2; ranks.at(-1)! < Math.min(highest, widest); power *= 2) {
    ranks.push(Math.min(power, widest), Math.min(1.5 * power, widest));
  }
  const end = ranks.findIndex((rank) => rank >= Math.min(highest, widest));
  return ranks.slice(0, end + 1).map(Math.floor);
}

/** The error at a rank, geometrically between those that are known. */
export function errorAt({ ranks, errors }: ErrorCurve, rank: number): number {
  const above = ranks.findIndex((known) => known >= rank);
  if (above < 0) {
    throw new RangeError(`errorAt: rank must be at most ${ranks.at(-1)}, got ${rank}.`);
  }
  const [high, low] = [errors[above]!, errors[above - 1]];
  if (ranks[above] === rank || low === undefined) return high;
  const share = (rank - ranks[above - 1]!) / (ranks[above]! - ranks[above - 1]!);
  return low > 0 && high > 0 ? low ** (1 - share) * high ** share : low + share * (high - low);
}
