/** One head's part of the MKL score: see `mkl-scores.ts` for the formula. */
import type { AttentionSample } from './attention-sample';
import { queryPair } from './query-pair';
import type { RotatedKeys } from './rotated-keys';
import { softmaxRow } from './softmax-row';

/** Below this a key's share of P^(pair) is lost in float64 beside the others. */
const LOG_NEGLIGIBLE = -40;

/** Scratch space of one head, reused from row to row. */
export class MklHead {
  /** Scores of a row, [T], less their maximum; padding is -Infinity. */
  private readonly scores: Float64Array;
  /** P of a row, [T]. */
  private readonly weights: Float64Array;
  /** By how much a pair changes a key's score, d, [H / 2, T]. */
  private readonly deltas: Float64Array;

  constructor(
    private readonly headDim: number,
    private readonly keys: RotatedKeys,
    private readonly variant: 'unrotate' | 'zero',
  ) {
    this.scores = new Float64Array(keys.keys);
    this.weights = new Float64Array(keys.keys);
    this.deltas = new Float64Array((keys.keys * headDim) / 2);
  }

  /** Add the divergences of one row, which must see a key, to `target`, from index `offset`. */
  addRow(
    sample: AttentionSample,
    queryRow: number,
    row: number,
    target: Float64Array,
    offset: number,
  ): void {
    const half = this.headDim / 2;
    const visible = sample.rowColumn[row]! + 1;
    this.scores.fill(0, 0, visible);
    for (let pair = 0; pair < half; pair++) this.scorePair(sample, queryRow, row, pair, visible);
    softmaxRow(this.scores, this.weights, visible, sample.keyMask);
    for (let pair = 0; pair < half; pair++) {
      target[offset + pair]! += this.divergence(pair, visible);
    }
  }

  /** Add a pair's part to the scores, and fill its `deltas`. */
  private scorePair(
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

  /**
   * KL(P || P^(pair)) = log1p(Σ P expm1(d - m)), m = Σ P d. Without m, a pair that moves all scores
   * alike (a key bias does) leaves nothing but rounding; without log1p and expm1, a small pair does.
   */
  private divergence(pair: number, visible: number): number {
    const { scores, weights, deltas } = this;
    const start = pair * this.keys.keys;
    let mean = 0;
    for (let j = 0; j < visible; j++) {
      // What padding holds may be NaN.
      if (weights[j]! > 0) mean += weights[j]! * deltas[start + j]!;
    }
    let growth = 0;
    for (let j = 0; j < visible; j++) {
      const change = deltas[start + j]! - mean;
      if (weights[j]! > 0) growth += weights[j]! * Math.expm1(change);
      else if (scores[j]! + change > LOG_NEGLIGIBLE) growth = Number.POSITIVE_INFINITY;
    }
    if (growth === Number.POSITIVE_INFINITY) return this.largeDivergence(start, mean, visible);
    return Math.max(0, Math.log1p(growth)); // rounding can leave -1e-17
  }

  /** The same where P^(pair) lies on keys of which P knows nothing: log Σ e^(s + d) - log Σ e^s - m. */
  private largeDivergence(start: number, mean: number, visible: number): number {
    const { scores, deltas } = this;
    const logSum = (score: (j: number) => number) => {
      let max = Number.NEGATIVE_INFINITY;
      for (let j = 0; j < visible; j++) if (score(j) > max) max = score(j);
      let sum = 0;
      for (let j = 0; j < visible; j++) {
        if (score(j) > Number.NEGATIVE_INFINITY) sum += Math.exp(score(j) - max);
      }
      return max + Math.log(sum);
    };
    return logSum((j) => scores[j]! + deltas[start + j]!) - logSum((j) => scores[j]!) - mean;
  }
}
