/** @throws RangeError unless `rank` is an integer from 0 to min(dOut, dIn). */
export function checkRank(caller: string, rank: number, dOut: number, dIn: number): void {
  const limit = Math.min(dOut, dIn);
  if (!Number.isSafeInteger(rank) || rank < 0 || rank > limit) {
    throw new RangeError(
      `${caller}: rank must be an integer from 0 to min(dOut=${dOut}, dIn=${dIn}), got ${rank}.`,
    );
  }
}
