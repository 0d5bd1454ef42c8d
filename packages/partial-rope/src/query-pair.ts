import type { AttentionSample } from './attention-sample';

export interface QueryPair {
  /** Both dims, divided by √H as a score is. */
  plain: readonly [number, number];
  /** The same, rotated. */
  turned: readonly [number, number];
}

/**
 * One pair of a sampled query.
 * @param queryRow index of the query among all heads' rows.
 * @param row index of the row, which the angles are of.
 */
export function queryPair(
  { query, queryCos, querySin }: AttentionSample,
  headDim: number,
  queryRow: number,
  row: number,
  pair: number,
): QueryPair {
  const half = headDim / 2;
  const scale = 1 / Math.sqrt(headDim);
  const a = scale * query[queryRow * headDim + pair]!;
  const b = scale * query[queryRow * headDim + half + pair]!;
  const [c, s] = [queryCos[row * half + pair]!, querySin[row * half + pair]!];
  return { plain: [a, b], turned: [a * c - b * s, b * c + a * s] };
}
