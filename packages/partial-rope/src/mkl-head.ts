/** One head's part of the MKL score: see `mkl-scores.ts` for the formula. */
import type { MklSample } from './mkl-scores';

/** Below this a key's share of P^(pair) is lost in float64 beside the others. */
const LOG_NEGLIGIBLE = -40;

/** Scratch space of one head, reused from row to row. Keys come last: loops run along them. */
export class MklHead {
  /** Keys of the KV head, [H, T], as they are and rotated. */
  private readonly plain: Float64Array;
  private readonly turned: Float64Array;
  /** Scores of a row, [T], less their maximum; padding is -Infinity. */
  private readonly scores: Float64Array;
  /** P of a row, [T]. */
  private readonly weights: Float64Array;
  /** By how much a pair changes a key's score, d, [H / 2, T]. */
  private readonly deltas: Float64Array;

  constructor(
    private readonly headDim: number,
    private readonly keys: number,
    private readonly variant: 'unrotate' | 'zero',
  ) {
    this.plain = new Float64Array(keys * headDim);
    this.turned = new Float64Array(keys * headDim);
    this.scores = new Float64Array(keys);
    this.weights = new Float64Array(keys);
    this.deltas = new Float64Array((keys * headDim) / 2);
  }

  /** Take up the keys of a KV head. */
  setKeys({ key, keyCos, keySin }: MklSample, keyHead: number): void {
    const { headDim, keys, plain, turned } = this;
    const half = headDim / 2;
    for (let j = 0; j < keys; j++) {
      const start = (keyHead * keys + j) * headDim;
      for (let pair = 0; pair < half; pair++) {
        const first = pair * keys + j;
        const second = first + half * keys;
        const a = key[start + pair]!;
        const b = key[start + half + pair]!;
        const c = keyCos[j * half + pair]!;
        const s = keySin[j * half + pair]!;
        plain[first] = a;
        plain[second] = b;
        turned[first] = a * c - b * s;
        turned[second] = b * c + a * s;
      }
    }
  }

  /** Add the divergences of one row, which must see a key, to `target`, from index `offset`. */
  addRow(
    sample: MklSample,
    queryRow: number,
    row: number,
    target: Float64Array,
    offset: number,
  ): void {
    const half = this.headDim / 2;
    const visible = sample.rowColumn[row]! + 1;
    this.scores.fill(0, 0, visible);
    for (let pair = 0; pair < half; pair++) this.scorePair(sample, queryRow, row, pair, visible);
    this.softmax(sample, visible);
    for (let pair = 0; pair < half; pair++) {
      target[offset + pair]! += this.divergence(pair, visible);
    }
  }

  /** Add a pair's part to the scores, and fill its `deltas`. */
  private scorePair(
    { query, queryCos, querySin }: MklSample,
    queryRow: number,
    row: number,
    pair: number,
    visible: number,
  ): void {
    const { headDim, keys, plain, turned, scores, deltas } = this;
    const half = headDim / 2;
    const scale = 1 / Math.sqrt(headDim);
    const a = scale * query[queryRow * headDim + pair]!;
    const b = scale * query[queryRow * headDim + half + pair]!;
    const [c, s] = [queryCos[row * half + pair]!, querySin[row * half + pair]!];
    const [turnedA, turnedB] = [a * c - b * s, b * c + a * s];
    const [plainA, plainB] = this.variant === 'zero' ? [0, 0] : [a, b];
    const [first, second] = [pair * keys, (half + pair) * keys];
    for (let j = 0; j < visible; j++) {
      const part = turnedA * turned[first + j]! + turnedB * turned[second + j]!;
      scores[j]! += part;
      deltas[first + j] = plainA * plain[first + j]! + plainB * plain[second + j]! - part;
    }
  }

  private softmax({ keyMask }: MklSample, visible: number): void {
    const { scores, weights } = this;
    let max = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < visible; j++) {
      if (keyMask && keyMask[j] === 0) scores[j] = Number.NEGATIVE_INFINITY;
      else if (scores[j]! > max) max = scores[j]!;
    }
    let sum = 0;
    for (let j = 0; j < visible; j++) {
      scores[j]! -= max;
      sum += weights[j] = Math.exp(scores[j]!);
    }
    for (let j = 0; j < visible; j++) weights[j]! /= sum;
  }

  /**
   * KL(P || P^(pair)) = log1p(Σ P expm1(d - m)), m = Σ P d. Without m, a pair that moves all scores
   * alike (a key bias does) leaves nothing but rounding; without log1p and expm1, a small pair does.
   */
  private divergence(pair: number, visible: number): number {
    const { keys, scores, weights, deltas } = this;
    const start = pair * keys;
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
