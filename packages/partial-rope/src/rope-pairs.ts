/**
 * Which rotary pairs of one layer keep their rotation: per KV head, ascending pair indices, as many
 * for each head. Pair i is dims (i, i + headDim / 2); query heads follow their KV head.
 */
export type RopePairs = readonly Int32Array[];

/** @throws RangeError unless `ropeDim` is even and within the head. */
export function checkRopeDim(caller: string, ropeDim: number, headDim: number): void {
  if (!Number.isSafeInteger(headDim) || headDim < 2 || headDim % 2 !== 0) {
    throw new RangeError(`${caller}: headDim must be even and positive, got headDim=${headDim}.`);
  }
  if (!Number.isSafeInteger(ropeDim) || ropeDim < 0 || ropeDim > headDim || ropeDim % 2 !== 0) {
    throw new RangeError(
      `${caller}: ropeDim must be even and within [0, ${headDim}], got ropeDim=${ropeDim}. It counts dims, two a pair.`,
    );
  }
}
