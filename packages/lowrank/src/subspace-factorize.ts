/**
 * The same factors by subspace iteration, for latents of at most a quarter of the outputs: most of
 * the work is products, in float32 on the device, and M = W S Wᵀ is not decomposed.
 *
 * The iteration finds vectors Q, near the largest eigenvectors of M, or where W has more outputs than
 * inputs of the smaller S WᵀW, whose space W takes to theirs. The best U_R inside of Q (or W Q) by
 * the eigenvectors of the small projected M are found in float64, so the error that is reported is
 * that of the factors, tr M less the eigenvalues kept. It is above the optimum by what the iteration
 * leaves, some 1e-7 of it, 1e-4 at worst where eigenvalues lie close.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dominantSubspace } from './dominant-subspace';
import { errorOf } from './error-of';
import { constantOf, type FactorizeInput, type Factors, prepare } from './factorize';
import { type Float64Product, float64Products } from './float64-products';
import { gramOnDevice } from './gram-on-device';
import type { LinearAlgebra } from './linear-algebra';
import { whitening } from './orthonormal';

/** Options of `subspaceFactorize`. */
export interface SubspaceOptions {
  /** Products with M at most. Default 24; where eigenvalues fall, some 8 are enough. */
  iterations?: number;
  /** Columns beyond the rank. Default max(16, rank / 4): fewer columns take more products. */
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
  const { dOut, dIn, rank } = input;
  const { weight, scaling } = prepare(la, 'subspaceFactorize', input);
  const size = Math.min(dOut, dIn);
  const limit = Math.floor(size / 4);
  if (rank > limit) {
    throw new RangeError(
      `subspaceFactorize: rank must be at most ${limit}, a quarter of min(dOut=${dOut}, dIn=${dIn}), got ${rank}. Wider latents take the exact route.`,
    );
  }
  const { iterations = 24, oversampling = Math.max(16, Math.ceil(rank / 4)), seed = 1 } = options;
  const width = Math.min(size, rank + oversampling);
  const multiply = float64Products(la);
  const problem = await problemOf(multiply, weight, input);
  const { matrix, total } = problem;
  const y = await dominantSubspace(la, matrix, { rank, width, products: iterations, seed })
    .finally(() => matrix.dispose())
    .then((q) => hostCopy(dOut > dIn ? outputsOf(weight, dOut, q) : q));
  const { values, basis, down } = bestInside(la, multiply, problem, y, { width, rank });
  const kept = values.subarray(0, rank).reduce((sum, value) => sum + value, 0);
  const up = scaling ? scaling.undo(basis, rank) : basis;
  return {
    ...{ rank, up, down, eigenvalues: values, ...constantOf(la, input, up, down) },
    ...errorOf([{ energy: total, error: Math.max(0, total - kept) }]),
  };
}

interface Problem {
  weight: Float64Array;
  moment?: Float64Array;
  dOut: number;
  dIn: number;
  /** S WᵀW [dIn, dIn] where dOut > dIn, else W S Wᵀ [dOut, dOut]: in float32, of entries up to 1. */
  matrix: tf.Tensor2D;
  /** W S [dOut, dIn], where dOut is at most dIn. */
  product?: Float64Array;
  /** tr M. */
  total: number;
}

async function problemOf(
  multiply: Float64Product,
  weight: Float64Array,
  { dOut, dIn, moment }: FactorizeInput,
): Promise<Problem> {
  const problem = { weight, moment, dOut, dIn };
  if (dOut > dIn) {
    const scale = near1(weight);
    const gram = tf.tidy(() => gramOnDevice(onDevice(weight, dOut, scale)));
    const matrix = tf.tidy(() =>
      largest1(moment ? tf.matMul(onDevice(moment, dIn), gram) : tf.clone(gram)),
    );
    const inner = await hostCopy(gram);
    // Where few channels hold nearly all energy, what is lost is less than float32's rounding of theirs.
    squaredColumns(weight, dIn).forEach((square, i) => {
      inner[i * (dIn + 1)] = square * scale ** 2;
    });
    const total = (moment ? dot(inner, moment) : trace(inner, dIn)) / scale ** 2;
    return { ...problem, matrix, total };
  }
  const product = moment ? multiply(weight, moment, { m: dOut, k: dIn, n: dIn }) : weight;
  const matrix = tf.tidy(() =>
    largest1(tf.matMul(onDevice(product, dOut), onDevice(weight, dOut), false, true)),
  );
  return { ...problem, matrix, product, total: dot(product, weight) };
}

/** W q [dOut, width]; disposes q. */
function outputsOf(weight: Float64Array, dOut: number, q: tf.Tensor2D): tf.Tensor2D {
  const y = tf.tidy((): tf.Tensor2D => tf.matMul(onDevice(weight, dOut), q));
  q.dispose();
  return y;
}

function largest1(a: tf.Tensor2D): tf.Tensor2D {
  return tf.div(a, tf.maximum(tf.max(tf.abs(a)), 1e-30));
}

async function hostCopy(tensor: tf.Tensor2D): Promise<Float64Array> {
  const values = await tensor.data();
  tensor.dispose();
  return new Float64Array(values);
}

/** U_R [dOut, R] in the space of y, Ritz values descending, and U_Rᵀ W. */
function bestInside(
  la: LinearAlgebra,
  multiply: Float64Product,
  { weight, moment, dOut, dIn, product }: Problem,
  y: Float64Array,
  { width, rank }: { width: number; rank: number },
) {
  const byY = (b: Float64Array, n: number) =>
    multiply(y, b, { m: width, k: dOut, n, transposeA: true });
  const d = byY(weight, dIn);
  const ds = !moment
    ? d
    : product
      ? byY(product, dIn)
      : multiply(d, moment, { m: width, k: dIn, n: dIn });
  const projected = multiply(ds, d, { m: width, k: dIn, n: width, transposeB: true });
  const { turn } = whitening(la, byY(y, width), width, 'float64');
  const square = { m: width, k: width, n: width };
  const small = multiply(turn, multiply(projected, turn, square), { ...square, transposeA: true });
  const { values, vectors } = la.eigh(small, width, rank); // [R, width]
  const turned = multiply(turn, vectors, { m: width, k: width, n: rank, transposeB: true });
  const basis = multiply(y, turned, { m: dOut, k: width, n: rank });
  const down = multiply(turned, d, { m: rank, k: width, n: dIn, transposeA: true });
  return { values, basis, down };
}

/** [rows, ..] in float32, times a power of two. */
function onDevice(a: Float64Array, rows: number, scale = near1(a)): tf.Tensor2D {
  const out = new Float32Array(a.length); // `from` with a function takes ten times as long
  for (let i = 0; i < a.length; i++) out[i] = a[i]! * scale;
  return tf.tensor2d(out, [rows, a.length / rows]);
}

/** A power of two that brings the largest entry near 1. */
function near1(a: Float64Array): number {
  let max = 0;
  for (let i = 0; i < a.length; i++) max = Math.max(max, Math.abs(a[i]!));
  return max > 0 ? 2 ** -Math.floor(Math.log2(max)) : 1;
}

function squaredColumns(a: Float64Array, cols: number): Float64Array {
  const out = new Float64Array(cols);
  for (let start = 0; start < a.length; start += cols)
    for (let j = 0; j < cols; j++) out[j]! += a[start + j]! ** 2;
  return out;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function trace(a: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[i * (n + 1)]!;
  return sum;
}
