import type { AttentionSample } from './attention-sample';
import { queryPair } from './query-pair';
import type { RotatedKeys } from './rotated-keys';

/** Scores of one query row, and by how much each pair would change them. Reused from row to row. */
export class RowChanges {
  /** s_j, as the model has them, [T]. */
  readonly scores: Float64Array;
  /** What becomes of s_j when a pair is changed, less s_j, [H / 2, T]. */
  readonly deltas: Float64Array;

  constructor(
    private readonly headDim: number,
    private readonly keys: RotatedKeys,
    private readonly variant: 'unrotate' | 'zero',
  ) {
    this.scores = new Float64Array(keys.keys);
    this.deltas = new Float64Array((keys.keys * headDim) / 2);
  }

  /**
   * Take up a row.
   * @param queryRow index of the query among all heads' rows.
   * @param row index of the row, which the angles are of.
   * @returns how many keys it sees, the first ones; what padding among them holds means nothing.
   */
  set(sample: AttentionSample, queryRow: number, row: number): number {
    const visible = sample.rowColumn[row]! + 1;
    this.scores.fill(0, 0, visible);
    for (let pair = 0; pair < this.headDim / 2; pair++) {
      this.addPair(sample, queryRow, row, pair, visible);
    }
    return visible;
  }

  private addPair(
    sample: AttentionSample,
    queryRow: number,
    row: number,
    pair: number,
    visible: number,
  ): void {
    const { headDim, scores, deltas } = this;
    const { keys, plain, turned } = this.keys;
    const half = headDim / 2;
    const own = queryPair(sample, headDim, queryRow, row, pair);
    const [turnedA, turnedB] = own.turned;
    const [plainA, plainB] = this.variant === 'zero' ? [0, 0] : own.plain;
    const [first, second] = [pair * keys, (half + pair) * keys];
    for (let j = 0; j < visible; j++) {
      const part = turnedA * turned[first + j]! + turnedB * turned[second + j]!;
      scores[j]! += part;
      deltas[first + j] = plainA * plain[first + j]! + plainB * plain[second + j]! - part;
    }
  }
}
