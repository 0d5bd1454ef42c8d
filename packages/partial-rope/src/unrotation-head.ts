/** One head's part of the fit: see `unrotation.ts` for the formula. */
import type { AttentionSample } from './attention-sample';
import { queryPair } from './query-pair';
import type { RotatedKeys } from './rotated-keys';
import { softmaxRow } from './softmax-row';

/** Keys of less attention change a row's variance by less than its rounding in f32. */
const NEGLIGIBLE = 1e-8;

/** Scratch space of one head, reused from row to row. */
export class UnrotationHead {
  private readonly scores: Float64Array;
  private readonly weights: Float64Array;
  /** What the removed pairs add to each key's score, [T]. */
  private readonly lost: Float64Array;
  /** Per unknown, what it multiplies, [n, T]: q · k of a pair, then q × k. */
  private readonly terms: Float64Array;
  private readonly isRemoved: Uint8Array;

  constructor(
    private readonly headDim: number,
    private readonly keys: RotatedKeys,
    private readonly removed: Int32Array,
  ) {
    this.scores = new Float64Array(keys.keys);
    this.weights = new Float64Array(keys.keys);
    this.lost = new Float64Array(keys.keys);
    this.terms = new Float64Array(2 * removed.length * keys.keys);
    this.isRemoved = new Uint8Array(headDim / 2);
    for (const pair of removed) this.isRemoved[pair] = 1;
  }

  /** Add a row's normal equations: `gram` [n, n] (lower triangle) and `target` [n]. */
  addRow(
    sample: AttentionSample,
    queryRow: number,
    row: number,
    gram: Float64Array,
    target: Float64Array,
  ): void {
    const visible = sample.rowColumn[row]! + 1;
    this.scores.fill(0, 0, visible);
    this.lost.fill(0, 0, visible);
    for (let pair = 0; pair < this.headDim / 2; pair++) {
      this.scorePair(sample, queryRow, row, pair, visible);
    }
    for (const [i, pair] of this.removed.entries()) {
      this.addTerms(sample, queryRow, row, pair, i, visible);
    }
    softmaxRow(this.scores, this.weights, visible, sample.keyMask);
    const count = this.centre(visible);
    this.accumulate(count, gram, target);
  }

  private scorePair(
    sample: AttentionSample,
    queryRow: number,
    row: number,
    pair: number,
    visible: number,
  ): void {
    const { headDim, scores, lost } = this;
    const { keys, turned } = this.keys;
    const half = headDim / 2;
    const [turnedA, turnedB] = queryPair(sample, headDim, queryRow, row, pair).turned;
    const [first, second] = [pair * keys, (half + pair) * keys];
    const removed = this.isRemoved[pair];
    for (let j = 0; j < visible; j++) {
      const part = turnedA * turned[first + j]! + turnedB * turned[second + j]!;
      scores[j]! += part;
      if (removed) lost[j]! += part;
    }
  }

  /** (a + ib) q = (re q1 - im q2, re q2 + im q1), so im multiplies q1 k2 - q2 k1. */
  private addTerms(
    sample: AttentionSample,
    queryRow: number,
    row: number,
    pair: number,
    index: number,
    visible: number,
  ): void {
    const { headDim, terms } = this;
    const { keys, plain } = this.keys;
    const half = headDim / 2;
    const [a, b] = queryPair(sample, headDim, queryRow, row, pair).plain;
    const [first, second] = [pair * keys, (half + pair) * keys];
    const [real, imaginary] = [2 * index * keys, (2 * index + 1) * keys];
    for (let j = 0; j < visible; j++) {
      const [k1, k2] = [plain[first + j]!, plain[second + j]!];
      terms[real + j] = a * k1 + b * k2;
      terms[imaginary + j] = a * k2 - b * k1;
    }
  }

  /**
   * Subtract P's means, scale by √P, and move the keys that matter to the front.
   * @returns how many they are.
   */
  private centre(visible: number): number {
    const { weights, lost, terms } = this;
    const stride = this.keys.keys;
    const columns: number[] = [];
    for (let j = 0; j < visible; j++) if (weights[j]! > NEGLIGIBLE) columns.push(j);
    const rows = terms.length / stride;
    for (let i = -1; i < rows; i++) {
      const [values, start] = i < 0 ? [lost, 0] : [terms, i * stride];
      let mean = 0;
      for (const j of columns) mean += weights[j]! * values[start + j]!;
      for (const [to, j] of columns.entries()) {
        values[start + to] = Math.sqrt(weights[j]!) * (values[start + j]! - mean);
      }
    }
    return columns.length;
  }

  private accumulate(count: number, gram: Float64Array, target: Float64Array): void {
    const { lost, terms } = this;
    const stride = this.keys.keys;
    const n = target.length;
    for (let i = 0; i < n; i++) {
      const own = i * stride;
      let sum = 0;
      for (let j = 0; j < count; j++) sum += terms[own + j]! * lost[j]!;
      target[i]! += sum;
      for (let k = 0; k <= i; k++) {
        const other = k * stride;
        let product = 0;
        for (let j = 0; j < count; j++) product += terms[own + j]! * terms[other + j]!;
        gram[i * n + k]! += product;
      }
    }
  }
}
