/** What one sample of a layer's attention gives to statistics: queries, keys and angles. */

export interface HeadCounts {
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
}

/** Queries and keys of a layer before rotation, and how they are turned. */
export interface AttentionSample {
  /** Queries before rotation, of the sampled rows, [N, L, H]. */
  query: ArrayLike<number>;
  /** Keys before rotation, [K, T, H]; N is a multiple of K. */
  key: ArrayLike<number>;
  /** Cosines and sines of each row's angles, [L, H / 2]. */
  queryCos: ArrayLike<number>;
  querySin: ArrayLike<number>;
  /** Of each key's angles, [T, H / 2]. */
  keyCos: ArrayLike<number>;
  keySin: ArrayLike<number>;
  /** Column of each sampled row, [L]: it sees keys 0 .. column. */
  rowColumn: Int32Array;
  /** 1 where the row's token is vision, [L]. */
  rowIsVision: Uint8Array;
  /** 0 where a key is padding, [T]. Default: none is. */
  keyMask?: Uint8Array;
  /** 1 where the key's token is vision, [T]; only MKL that is split by keys asks for it. */
  keyIsVision?: Uint8Array;
}

/** Indices of the sampled rows that see a key which is no padding. */
export function rowsThatSeeKeys({ rowColumn, keyMask }: AttentionSample): number[] {
  const first = keyMask ? keyMask.findIndex((bit) => bit !== 0) : 0;
  return first < 0 ? [] : [...rowColumn.keys()].filter((row) => rowColumn[row]! >= first);
}

/** @throws RangeError, in the name of `caller`, when array lengths do not fit together. */
export function checkSample(
  caller: string,
  sample: AttentionSample,
  { numAttentionHeads, numKeyValueHeads, headDim }: HeadCounts,
): void {
  if (headDim % 2 !== 0 || numAttentionHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `${caller}: headDim must be even and KV heads divide the query heads, got headDim=${headDim}, numAttentionHeads=${numAttentionHeads}, numKeyValueHeads=${numKeyValueHeads}.`,
    );
  }
  const half = headDim / 2;
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / half;
  const { query, key, queryCos, querySin, keyCos, keySin, rowIsVision, keyMask, keyIsVision } =
    sample;
  const expected: [string, ArrayLike<number> | undefined, number][] = [
    ['query', query, numAttentionHeads * rows * headDim],
    ['queryCos', queryCos, rows * half],
    ['querySin', querySin, rows * half],
    ['keyCos', keyCos, Math.floor(keys) * half],
    ['keySin', keySin, keyCos.length],
    ['key', key, numKeyValueHeads * keys * headDim],
    ['rowIsVision', rowIsVision, rows],
    ['keyMask', keyMask, keys],
    ['keyIsVision', keyIsVision, keys],
  ];
  for (const [name, values, length] of expected) {
    if (values && values.length !== length) {
      throw new RangeError(`${caller}: ${name} must hold ${length} values, got ${values.length}.`);
    }
  }
  const outside = sample.rowColumn.find((column) => column < 0 || column >= keys);
  if (outside !== undefined) {
    throw new RangeError(`${caller}: rowColumn must lie in [0, ${keys}), got ${outside}.`);
  }
}
