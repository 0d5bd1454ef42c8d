/** Which rows of a projection keep their rotation, and which do not (MHA2MLA's layout). */
import type { RopePairs } from './rope-pairs';

/** Options of `splitRows`. */
export interface SplitRowsOptions {
  /** Heads of the projection: query heads for q, KV heads for k. */
  numHeads: number;
  numKeyValueHeads: number;
  headDim: number;
}

/**
 * List the rows of a projection [numHeads * headDim, D], ascending: per head the first halves of its
 * chosen pairs, then their second halves. Consecutive query heads share their KV head's choice.
 * @throws RangeError where heads do not fit together, or a pair is not one of the head or twice there.
 */
export function splitRows(
  pairs: RopePairs,
  { numHeads, numKeyValueHeads, headDim }: SplitRowsOptions,
): { ropeRows: Int32Array; nopeRows: Int32Array } {
  if (pairs.length !== numKeyValueHeads || numHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `splitRows: pairs must have one entry for each KV head, which must divide the heads, got ${pairs.length} entries, numKeyValueHeads=${numKeyValueHeads}, numHeads=${numHeads}.`,
    );
  }
  const half = headDim / 2;
  for (const [head, own] of pairs.entries()) checkPairs(own, head, half);
  const ropeRows: number[] = [];
  const nopeRows: number[] = [];
  for (let head = 0; head < numHeads; head++) {
    const kept = new Set(pairs[Math.floor((head * numKeyValueHeads) / numHeads)]);
    for (let dim = 0; dim < headDim; dim++) {
      (kept.has(dim % half) ? ropeRows : nopeRows).push(head * headDim + dim);
    }
  }
  return { ropeRows: Int32Array.from(ropeRows), nopeRows: Int32Array.from(nopeRows) };
}

function checkPairs(pairs: Int32Array, head: number, half: number): void {
  const bad = pairs.find((pair, i) => pair < 0 || pair >= half || pairs.indexOf(pair) !== i);
  if (bad !== undefined) {
    throw new RangeError(
      `splitRows: pairs of KV head ${head} must be distinct and in [0, ${half}), got ${bad}.`,
    );
  }
}
