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
import type { LinearAlgebra } from './linear-algebra';
import { whitening } from './orthonormal';

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
  const { dOut, dIn, moment, rank } = input;
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
  const problem = { weight, moment, dOut, dIn, ...sidesOf(multiply, weight, input) };
  const matrix = iterationMatrix(problem);
  const q = await dominantSubspace(la, matrix, { rank, width, products: iterations, seed })
    .then(hostCopy)
    .finally(() => matrix.dispose());
  const { values, basis, down } = bestInside(la, multiply, problem, q, { width, rank });
  const kept = values.subarray(0, rank).reduce((sum, value) => sum + value, 0);
  const { total } = problem;
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
  /** WᵀW [dIn, dIn], where dOut > dIn. */
  gram?: Float64Array;
  /** W S [dOut, dIn], where it is not. */
  product?: Float64Array;
  /** tr M. */
  total: number;
}

function sidesOf(
  multiply: Float64Product,
  weight: Float64Array,
  { dOut, dIn, moment }: FactorizeInput,
): Pick<Problem, 'gram' | 'product' | 'total'> {
  if (dOut > dIn) {
    const gram = multiply(weight, weight, { m: dIn, k: dOut, n: dIn, transposeA: true });
    return { gram, total: moment ? dot(gram, moment) : trace(gram, dIn) };
  }
  const product = moment ? multiply(weight, moment, { m: dOut, k: dIn, n: dIn }) : weight;
  return { product, total: dot(product, weight) };
}

/** S WᵀW or W S Wᵀ, in float32 and of entries up to 1. */
function iterationMatrix({ weight, moment, dOut, dIn, gram, product }: Problem): tf.Tensor2D {
  const near1 = (a: Float64Array, rows: number) => tf.tensor2d(scaledTo1(a), [rows, dIn]);
  return tf.tidy(() => {
    const matrix = gram
      ? moment
        ? tf.matMul(near1(moment, dIn), near1(gram, dIn))
        : near1(gram, dIn)
      : tf.matMul(near1(product!, dOut), near1(weight, dOut), false, true);
    return tf.div(matrix, tf.maximum(tf.max(tf.abs(matrix)), 1e-30)) as tf.Tensor2D;
  });
}

async function hostCopy(tensor: tf.Tensor2D): Promise<Float64Array> {
  const values = await tensor.data();
  tensor.dispose();
  return new Float64Array(values);
}

/** U_R [dOut, R] in the space of q (of W q), Ritz values descending, and U_Rᵀ W. */
function bestInside(
  la: LinearAlgebra,
  multiply: Float64Product,
  { weight, moment, dOut, dIn, gram, product }: Problem,
  q: Float64Array,
  { width, rank }: { width: number; rank: number },
) {
  const size = gram ? dIn : dOut;
  const byQ = (b: Float64Array) => multiply(q, b, { m: width, k: size, n: dIn, transposeA: true });
  const d = byQ(gram ?? weight); // Qᵀ W or (W Q)ᵀ W, [width, dIn]
  const inner = gram
    ? multiply(d, q, { m: width, k: dIn, n: width })
    : multiply(q, q, { m: width, k: dOut, n: width, transposeA: true });
  const ds = product
    ? byQ(product)
    : moment
      ? multiply(d, moment, { m: width, k: dIn, n: dIn })
      : d;
  const projected = multiply(ds, d, { m: width, k: dIn, n: width, transposeB: true });
  const { turn } = whitening(la, inner, width, 'float64');
  const square = { m: width, k: width, n: width };
  const small = multiply(turn, multiply(projected, turn, square), { ...square, transposeA: true });
  const { values, vectors } = la.eigh(small, width, rank); // [R, width]
  const turned = multiply(turn, vectors, { m: width, k: width, n: rank, transposeB: true });
  const found = multiply(q, turned, { m: size, k: width, n: rank }); // [size, R]
  const basis = gram ? multiply(weight, found, { m: dOut, k: dIn, n: rank }) : found;
  const down = multiply(turned, d, { m: rank, k: width, n: dIn, transposeA: true });
  return { values, basis, down };
}

/** In float32, divided by a power of two that brings the largest entry near 1. */
function scaledTo1(a: Float64Array): Float32Array {
  let max = 0;
  for (const value of a) max = Math.max(max, Math.abs(value));
  const scale = max > 0 ? 2 ** -Math.floor(Math.log2(max)) : 1;
  const out = new Float32Array(a.length); // `from` with a function takes ten times as long
  for (let i = 0; i < a.length; i++) out[i] = a[i]! * scale;
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
