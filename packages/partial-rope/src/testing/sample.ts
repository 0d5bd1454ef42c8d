/** Attention by its definition, one score at a time in float64: the oracle of this package's tests. */
import { gaussian } from '@mha2mla/testing';
import type { AttentionSample, HeadCounts } from '../attention-sample';

export interface SampleOptions {
  /** Columns of the query rows. */
  rowColumn: readonly number[];
  keys: number;
  /** Angle of a pair at a column. Default: pairs from fast to slow, by the column. */
  angle?: (column: number, pair: number) => number;
  seed: number;
}

/** A random sample; column 1 is padding, and every third token vision. */
export function sampleOf(
  { numAttentionHeads, numKeyValueHeads, headDim }: HeadCounts,
  { rowColumn, keys, seed, angle = (column, pair) => column * 3 ** -pair }: SampleOptions,
): AttentionSample {
  const pairs = Array.from({ length: headDim / 2 }, (_, pair) => pair);
  const columns = Array.from({ length: keys }, (_, column) => column);
  const table = (of: (x: number) => number, at: readonly number[]) =>
    Float64Array.from(at.flatMap((column) => pairs.map((pair) => of(angle(column, pair)))));
  const isVision = (column: number) => (column % 3 === 0 ? 1 : 0);
  return {
    query: gaussian(numAttentionHeads * rowColumn.length * headDim, seed),
    key: gaussian(numKeyValueHeads * keys * headDim, seed + 1),
    queryCos: table(Math.cos, rowColumn),
    querySin: table(Math.sin, rowColumn),
    keyCos: table(Math.cos, columns),
    keySin: table(Math.sin, columns),
    rowColumn: Int32Array.from(rowColumn),
    rowIsVision: Uint8Array.from(rowColumn, isVision),
    keyMask: Uint8Array.from(columns, (column) => (column === 1 ? 0 : 1)),
    keyIsVision: Uint8Array.from(columns, isVision),
  };
}

export type PairForm = 'turned' | 'plain' | 'gone';

/** Scores of a query row with every key that it sees and that is no padding, by column. */
export function scoresOf(
  sample: AttentionSample,
  { numAttentionHeads, numKeyValueHeads, headDim }: HeadCounts,
  head: number,
  row: number,
  form: (pair: number) => PairForm,
): Map<number, number> {
  const half = headDim / 2;
  const keys = sample.keyCos.length / half;
  const queryRow = (head * sample.rowColumn.length + row) * headDim;
  const keyHead = Math.floor((head * numKeyValueHeads) / numAttentionHeads);
  const scores = new Map<number, number>();
  for (let j = 0; j <= sample.rowColumn[row]!; j++) {
    if (sample.keyMask?.[j] === 0) continue;
    let sum = 0;
    for (let pair = 0; pair < half; pair++) {
      if (form(pair) === 'gone') continue;
      const dims = (values: ArrayLike<number>, at: number) =>
        [values[at + pair]!, values[at + half + pair]!] as const;
      const turn = ([a, b]: readonly [number, number], c: number, s: number) =>
        form(pair) === 'plain' ? ([a, b] as const) : ([a * c - b * s, b * c + a * s] as const);
      const [q, k] = [row * half + pair, j * half + pair];
      const own = turn(dims(sample.query, queryRow), sample.queryCos[q]!, sample.querySin[q]!);
      const start = (keyHead * keys + j) * headDim;
      const other = turn(dims(sample.key, start), sample.keyCos[k]!, sample.keySin[k]!);
      sum += own[0] * other[0] + own[1] * other[1];
    }
    scores.set(j, sum / Math.sqrt(headDim));
  }
  return scores;
}

/** Softmax, by column. */
export function attentionOf(scores: ReadonlyMap<number, number>): Map<number, number> {
  const max = Math.max(...scores.values());
  const sum = [...scores.values()].reduce((total, score) => total + Math.exp(score - max), 0);
  return new Map([...scores].map(([j, score]) => [j, Math.exp(score - max) / sum]));
}
