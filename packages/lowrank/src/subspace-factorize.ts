/**
 * The same factors by randomised subspace iteration, for latents of at most a quarter of the
 * outputs: nearly all work is float32 products on the device, and M = W S Wᵀ is not decomposed.
 *
 *   Q ← orth(M Q), a few times; then the best U_R inside of Q by the eigenvectors of Qᵀ M Q.
 *
 * Small matrices are decomposed in float64. The error that is reported is that of the factors found,
 * tr (W - up down) S (W - up down)ᵀ, not an estimate: it is above the optimum by what the
 * iterations leave, some 1e-6 of it, 1e-4 at worst where eigenvalues lie close.
 */
import * as tf from '@tensorflow/tfjs-core';
import { errorOf } from './error-of';
import { constantOf, type FactorizeInput, type Factors, prepare } from './factorize';
import type { LinearAlgebra } from './linear-algebra';
import { orthonormal, orthonormalOnDevice } from './orthonormal';
import { transpose } from './transpose';

export interface SubspaceOptions {
  /** Products with M. Default 16: one brings the error some three times closer to the optimum. */
  iterations?: number;
  /** Columns beyond the rank. Default max(16, rank / 2): fewer columns take more products. */
  oversampling?: number;
  /** Of the first columns. Default 1. */
  seed?: number;
}

/**
 * @returns factors as `factorize` gives them, with the eigenvalues that the iteration saw.
 * @throws RangeError as `factorize`, and for a rank above a quarter of min(dOut, dIn).
 */
export async function subspaceFactorize(
  la: LinearAlgebra,
  input: FactorizeInput,
  options: SubspaceOptions = {},
): Promise<Factors> {
  const { dOut, dIn, moment, rank } = input;
  const { weight, scaling } = prepare(la, 'subspaceFactorize', input);
  const limit = Math.floor(Math.min(dOut, dIn) / 4);
  if (rank > limit) {
    throw new RangeError(
      `subspaceFactorize: rank must be at most ${limit}, a quarter of min(dOut=${dOut}, dIn=${dIn}), got ${rank}. Wider latents take the exact route.`,
    );
  }
  const { iterations = 16, oversampling = Math.max(16, Math.ceil(rank / 2)), seed = 1 } = options;
  const width = Math.min(dOut, dIn, rank + oversampling);
  const device = toDevice(weight, moment, dOut, dIn);
  try {
    const q = await iterate(la, device, { dOut, dIn, width, iterations, seed });
    const d = la.matmul(transpose(q, dOut, width), weight, width, dOut, dIn); // Qᵀ W [width, dIn]
    const small = moment
      ? la.congruence(d, moment, width, dIn)
      : la.matmul(d, transpose(d, width, dIn), width, dIn, width);
    const { values, vectors } = la.eigh(small, width, rank); // [R, width]
    const basis = la.matmul(q, transpose(vectors, rank, width), dOut, width, rank); // U_R
    const down = la.matmul(vectors, d, rank, width, dIn);
    const error = await residualEnergy(device, basis, down, { dOut, dIn, rank });
    const kept = values.subarray(0, rank).reduce((sum, value) => sum + value, 0);
    const up = scaling ? scaling.undo(basis, rank) : basis;
    return {
      ...{ rank, up, down, eigenvalues: values, ...constantOf(la, input, up, down) },
      ...errorOf([{ energy: kept + error, error }]),
    };
  } finally {
    tf.dispose([device.w, device.wt, device.s ?? []]);
  }
}

/** W, Wᵀ and S in float32, both divided by a power of two that brings them near 1. */
interface DeviceMaps {
  w: tf.Tensor2D;
  wt: tf.Tensor2D;
  s?: tf.Tensor2D;
  /** What they were divided by. */
  unitW: number;
  unitS: number;
}

function toDevice(
  weight: Float64Array,
  moment: Float64Array | undefined,
  dOut: number,
  dIn: number,
): DeviceMaps {
  const [unitW, unitS] = [powerOf(weight), moment ? powerOf(moment) : 1];
  const near1 = (a: Float64Array, unit: number) => scaled(a, 1 / unit);
  const w = tf.tensor2d(near1(weight, unitW), [dOut, dIn]);
  const s = moment && tf.tensor2d(near1(moment, unitS), [dIn, dIn]);
  return { w, wt: tf.transpose(w), s, unitW, unitS };
}

/** In float32. `Float32Array.from` with a function takes ten times as long. */
function scaled(a: Float64Array, scale: number): Float32Array {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i]! * scale;
  return out;
}

/** The power of two next below the largest entry. */
function powerOf(a: Float64Array): number {
  let max = 0;
  for (const value of a) max = Math.max(max, Math.abs(value));
  return max > 0 ? 2 ** Math.floor(Math.log2(max)) : 1;
}

interface IterationShape {
  dOut: number;
  dIn: number;
  width: number;
  iterations: number;
  seed: number;
}

/** An orthonormal basis [dOut, width] of about the space of the largest eigenvectors of M. */
async function iterate(
  la: LinearAlgebra,
  device: DeviceMaps,
  { dOut, dIn, width, iterations, seed }: IterationShape,
): Promise<Float64Array> {
  const size = Math.min(dOut, dIn);
  const matrix = iterationMatrix(device, dOut > dIn);
  let q = tf.tensor2d(uniform(size * width, seed), [size, width]);
  try {
    for (let i = 0; i < iterations; i++) {
      q = replaced(q, tf.matMul(matrix, q));
      q = replaced(q, await orthonormalOnDevice(la, q));
    }
    if (dOut > dIn) q = replaced(q, tf.matMul(device.w, q));
    return orthonormal(la, Float64Array.from(await q.data()), dOut, width);
  } finally {
    tf.dispose([q, matrix]);
  }
}

/**
 * M itself, or with more outputs than inputs the smaller S WᵀW, whose powers lead to the same space:
 * (W S Wᵀ)ⁿ W = W (S WᵀW)ⁿ.
 */
function iterationMatrix({ w, wt, s }: DeviceMaps, tall: boolean): tf.Tensor2D {
  return tf.tidy(() => {
    if (!tall) return tf.matMul(s ? tf.matMul(w, s) : w, wt) as tf.Tensor2D;
    const gram = tf.matMul(wt, w) as tf.Tensor2D;
    return s ? (tf.matMul(s, gram) as tf.Tensor2D) : gram;
  });
}

function replaced(old: tf.Tensor2D, next: tf.Tensor2D): tf.Tensor2D {
  old.dispose();
  return next;
}

/** tr (W - U D) S (W - U D)ᵀ: no difference of large sums, so that small errors are right, too. */
async function residualEnergy(
  { w, s, unitW, unitS }: DeviceMaps,
  basis: Float64Array,
  down: Float64Array,
  { dOut, dIn, rank }: { dOut: number; dIn: number; rank: number },
): Promise<number> {
  const rows = tf.tidy(() => {
    if (rank === 0) return tf.sum(tf.mul(s ? tf.matMul(w, s) : w, w), 1);
    const product = tf.matMul(
      tf.tensor2d(Float32Array.from(basis), [dOut, rank]),
      tf.tensor2d(scaled(down, 1 / unitW), [rank, dIn]),
    );
    const lost = tf.sub(w, product) as tf.Tensor2D;
    return tf.sum(tf.mul(s ? tf.matMul(lost, s) : lost, lost), 1); // [dOut]
  });
  const values = await rows.data();
  rows.dispose();
  const sum = (values as Float32Array).reduce((total, value) => total + value, 0);
  return Math.max(0, sum) * unitW * unitW * unitS;
}

/** Uniform in [-1, 1) from a seed (mulberry32), the same on every backend. */
function uniform(length: number, seed: number): Float32Array {
  let state = Math.imul(seed, 0x9e3779b1);
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}
