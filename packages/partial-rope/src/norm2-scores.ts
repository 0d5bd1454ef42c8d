/**
 * 2-norm scores of rotary pairs (MHA2MLA, arXiv 2502.14837, section 3.1): how much a pair can add to
 * a score, before rotation, |·| the length of a pair,
 *
 *   T[j, k] = Σ_{query heads h of KV head j} E|q_h,k| E|k_j,k|:
 *
 * products of mean lengths, not of squares. Means are over tokens, whose modality plays no part.
 */
import type { AttentionSample, HeadCounts } from './attention-sample';

/** Sums of lengths, which add up over samples and shards. */
export interface Norm2Sums extends HeadCounts {
  /** [N * H / 2], over query rows. */
  query: Float64Array;
  /** [K * H / 2], over keys that are not padding. */
  key: Float64Array;
  queryRows: number;
  keyRows: number;
}

/** Sums of no sample, for `addNorm2` to add to. */
export function emptyNorm2Sums({
  numAttentionHeads,
  numKeyValueHeads,
  headDim,
}: HeadCounts): Norm2Sums {
  return {
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    query: new Float64Array((numAttentionHeads * headDim) / 2),
    key: new Float64Array((numKeyValueHeads * headDim) / 2),
    queryRows: 0,
    keyRows: 0,
  };
}

/**
 * Add one sample.
 * @param sample query [N, L, H] of any L tokens that are not padding, key [K, T, H], keyMask [T].
 * @throws RangeError when array lengths do not fit.
 */
export function addNorm2(
  sums: Norm2Sums,
  { query, key, keyMask }: Pick<AttentionSample, 'query' | 'key' | 'keyMask'>,
): void {
  const { numAttentionHeads, numKeyValueHeads, headDim } = sums;
  if (headDim % 2 !== 0 || numAttentionHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `addNorm2: headDim must be even and KV heads divide the query heads, got headDim=${headDim}, numAttentionHeads=${numAttentionHeads}, numKeyValueHeads=${numKeyValueHeads}.`,
    );
  }
  const rows = query.length / (numAttentionHeads * headDim);
  const keys = key.length / (numKeyValueHeads * headDim);
  if (!Number.isInteger(rows) || !Number.isInteger(keys) || (keyMask ?? key).length < keys) {
    throw new RangeError(
      `addNorm2: query must hold [${numAttentionHeads}, L, ${headDim}], key [${numKeyValueHeads}, T, ${headDim}] and keyMask [T] values, got ${query.length}, ${key.length} and ${keyMask?.length}.`,
    );
  }
  addLengths(sums.query, query, rows, headDim);
  addLengths(sums.key, key, keys, headDim, keyMask);
  sums.queryRows += rows;
  sums.keyRows += keyMask ? keyMask.reduce((sum, bit) => sum + (bit === 0 ? 0 : 1), 0) : keys;
}

/** Add the lengths of the pairs of `values` [heads, tokens, H] to `target` [heads, H / 2]. */
function addLengths(
  target: Float64Array,
  values: ArrayLike<number>,
  tokens: number,
  headDim: number,
  mask?: Uint8Array,
): void {
  const half = headDim / 2;
  for (let head = 0; head < target.length / half; head++) {
    for (let token = 0; token < tokens; token++) {
      if (mask?.[token] === 0) continue;
      const start = (head * tokens + token) * headDim;
      for (let pair = 0; pair < half; pair++) {
        const [a, b] = [values[start + pair]!, values[start + half + pair]!];
        target[head * half + pair]! += Math.sqrt(a * a + b * b);
      }
    }
  }
}

/** @returns scores [K * H / 2]. @throws RangeError where nothing was seen. */
export function norm2Scores(sums: Norm2Sums): Float64Array {
  const { numAttentionHeads, numKeyValueHeads, headDim, query, key, queryRows, keyRows } = sums;
  if (queryRows === 0 || keyRows === 0) {
    throw new RangeError(
      `norm2Scores: expected queries and keys, got ${queryRows} and ${keyRows}.`,
    );
  }
  const half = headDim / 2;
  const group = numAttentionHeads / numKeyValueHeads;
  return key.map((length, i) => {
    const [keyHead, pair] = [Math.floor(i / half), i % half];
    let sum = 0;
    for (let head = keyHead * group; head < (keyHead + 1) * group; head++) {
      sum += query[head * half + pair]! / queryRows;
    }
    return (sum * length) / keyRows;
  });
}
