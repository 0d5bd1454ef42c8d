/** One head's part of the MKL score: see `mkl-scores.ts` for the formula. */
import type { MklSample } from './mkl-scores';

/** Scratch space of one head, reused from row to row. */
export class MklHead {
  /** Rotated keys of the KV head, [T, H]. */
  private readonly turned: Float64Array;
  private readonly turnedQuery: Float64Array;
  private readonly weights: Float64Array;
  /** Rotated and plain dot product of each key's pairs, [T, H / 2]. */
  private readonly pairScores: Float64Array;
  private keyOffset = 0;

  constructor(
    private readonly headDim: number,
    private readonly keys: number,
    private readonly variant: 'unrotate' | 'zero',
  ) {
    this.turned = new Float64Array(keys * headDim);
    this.turnedQuery = new Float64Array(headDim);
    this.weights = new Float64Array(keys);
    this.pairScores = new Float64Array((keys * headDim) / 2);
  }

  rotateKeys({ key, keyCos, keySin }: MklSample, keyHead: number): void {
    this.keyOffset = keyHead * this.keys * this.headDim;
    for (let j = 0; j < this.keys; j++) {
      const start = j * this.headDim;
      const angles = { cos: keyCos, sin: keySin, start: start / 2 };
      rotate(key, this.keyOffset + start, angles, this.turned, start, this.headDim / 2);
    }
  }

  /** Add one row's divergences to `target`, from index `offset`. */
  addRow(
    sample: MklSample,
    queryRow: number,
    row: number,
    target: Float64Array,
    offset: number,
  ): void {
    const { headDim } = this;
    const half = headDim / 2;
    const angles = { cos: sample.queryCos, sin: sample.querySin, start: row * half };
    rotate(sample.query, queryRow * headDim, angles, this.turnedQuery, 0, half);
    const visible = sample.rowColumn[row]! + 1;
    if (!this.softmaxRow(sample, visible)) return;
    for (let pair = 0; pair < half; pair++) {
      target[offset + pair]! += this.divergence(sample, queryRow, pair, visible);
    }
  }

  /** Fill `weights` with P and `pairScores` with each pair's part. False when no key is visible. */
  private softmaxRow({ keyMask }: MklSample, visible: number): boolean {
    const { headDim, turned, turnedQuery, weights, pairScores } = this;
    const half = headDim / 2;
    const scale = 1 / Math.sqrt(headDim);
    let max = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < visible; j++) {
      let score = 0;
      for (let pair = 0; pair < half; pair++) {
        const part =
          scale *
          (turnedQuery[pair]! * turned[j * headDim + pair]! +
            turnedQuery[half + pair]! * turned[j * headDim + half + pair]!);
        pairScores[j * half + pair] = part;
        score += part;
      }
      weights[j] = keyMask && keyMask[j] === 0 ? Number.NEGATIVE_INFINITY : score;
      if (weights[j]! > max) max = weights[j]!;
    }
    if (max === Number.NEGATIVE_INFINITY) return false;
    let sum = 0;
    for (let j = 0; j < visible; j++) sum += weights[j] = Math.exp(weights[j]! - max);
    for (let j = 0; j < visible; j++) weights[j]! /= sum;
    return true;
  }

  /** KL(P || P^(pair)) = log1p(Σ P expm1(d)) - Σ P d: exact also where d is tiny. */
  private divergence(
    { query, key }: MklSample,
    queryRow: number,
    pair: number,
    visible: number,
  ): number {
    const { headDim, weights, pairScores, keyOffset } = this;
    const half = headDim / 2;
    const keep = this.variant === 'zero' ? 0 : 1 / Math.sqrt(headDim);
    const q1 = keep * query[queryRow * headDim + pair]!;
    const q2 = keep * query[queryRow * headDim + half + pair]!;
    let mean = 0;
    let growth = 0;
    for (let j = 0; j < visible; j++) {
      const weight = weights[j]!;
      if (weight === 0) continue;
      const base = keyOffset + j * headDim + pair;
      const delta = q1 * key[base]! + q2 * key[base + half]! - pairScores[j * half + pair]!;
      mean += weight * delta;
      growth += weight * Math.expm1(delta);
    }
    return Math.max(0, Math.log1p(growth) - mean); // rounding can leave -1e-17
  }
}

interface Angles {
  cos: ArrayLike<number>;
  sin: ArrayLike<number>;
  start: number;
}

/** Turn the `half` pairs at x[start] by the angles into out[target]. */
function rotate(
  x: ArrayLike<number>,
  start: number,
  angles: Angles,
  out: Float64Array,
  target: number,
  half: number,
): void {
  for (let pair = 0; pair < half; pair++) {
    const c = angles.cos[angles.start + pair]!;
    const s = angles.sin[angles.start + pair]!;
    const first = x[start + pair]!;
    const second = x[start + half + pair]!;
    out[target + pair] = first * c - second * s;
    out[target + half + pair] = second * c + first * s;
  }
}
