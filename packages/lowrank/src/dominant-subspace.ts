/**
 * The space of a matrix's largest eigenvectors, by subspace iteration with a Chebyshev filter
 * (Zhou, Saad, Tiago & Chelikowsky 2006): Q ← orth((A - c I) Q), where the c of some products are the
 * roots of the Chebyshev polynomial of [0, b], b the eigenvalue at the end of the block. All below b
 * is damped alike, and what is above grows faster than by powers of A. One root a product, and
 * orthonormal columns after each, keep the range of values that float32 has to hold as small as
 * that of A.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LinearAlgebra } from './linear-algebra';
import { orthonormalOnDevice } from './orthonormal';

export interface DominantOptions {
  /** Wanted of the vectors. */
  rank: number;
  /** Columns of the block, at least `rank`: the more, the fewer products. */
  width: number;
  /** Products at most. */
  products: number;
  /** Of the first columns. */
  seed: number;
}

/** Products before b is known well enough. */
const POWERS = 2;
/** Roots between two looks at b. */
const DEGREE = 3;
/**
 * Logarithm of what the filter makes of the last wanted vector, against the unwanted: there the error
 * was 2e-5 above the optimum at worst (flat spectra), 1e-6 where eigenvalues fall as a power.
 */
const ENOUGH = 4;

/**
 * @param matrix A [n, n] with eigenvalues of at least 0, entries of at most about 1; stays the caller's.
 * @returns [n, width], with columns orthonormal to float32's rounding; the caller's.
 */
export async function dominantSubspace(
  la: LinearAlgebra,
  matrix: tf.Tensor2D,
  { rank, width, products, seed }: DominantOptions,
): Promise<tf.Tensor2D> {
  const n = matrix.shape[0];
  let q = tf.tensor2d(uniform(n * width, seed), [n, width]);
  const roots = new Array<number>(POWERS).fill(0);
  let gain = 0;
  for (let product = 0; product < products; product++) {
    const root = roots.shift()!;
    const y = tf.tidy(() => tf.sub(tf.matMul(matrix, q), tf.mul(q, root)) as tf.Tensor2D);
    q.dispose();
    const next = await orthonormalOnDevice(la, y).finally(() => y.dispose());
    q = next.q;
    if (roots.length > 0) continue;
    if (gain >= ENOUGH) break;
    const filter = chebyshev(
      next.lengths.map((length) => length + root),
      rank,
    );
    roots.push(...filter.roots);
    gain += filter.gain;
  }
  return q;
}

/** @param values about the eigenvalues of the block, largest first. */
function chebyshev(values: Float64Array, rank: number): { roots: number[]; gain: number } {
  // Single columns scatter. Unwanted values above b cost products, wanted ones below it the result.
  const around = Math.max(1, values.length >> 5);
  const mean = (end: number) => {
    const some = values.subarray(Math.max(0, end - around), Math.max(1, end));
    return some.reduce((sum, value) => sum + value, 0) / some.length;
  };
  const b = Math.max(mean(values.length), 1e-7 * Math.max(...values));
  const roots = Array.from(
    { length: DEGREE },
    (_, i) => (b / 2) * (1 - Math.cos((Math.PI * (i + 0.5)) / DEGREE)),
  );
  const growth = DEGREE * Math.acosh(Math.max(1, (2 * mean(rank)) / b - 1)) - Math.LN2;
  return { roots, gain: Math.max(0, growth) };
}

/** Uniform in [-1, 1) from a seed (mulberry32), the same on every backend. */
function uniform(length: number, seed: number): Float32Array {
  let state = Math.imul(seed, 0x9e3779b1);
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    out[i] = ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  }
  return out;
}
