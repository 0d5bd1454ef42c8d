/**
 * Orthonormal columns for a block of vectors, by its Gram matrix (SVQB, Stathopoulos & Wu 2002):
 * columns are scaled to length 1, YᵀY = V Λ Vᵀ in float64, and Y V Λ^-½ is the answer. One pass
 * leaves an error of eps cond(Y)²; a second takes that. A Cholesky factor in the place of V fails
 * on steep spectra in float32.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

/** Directions below this share of the largest are rounding: they are kept, at no more than that. */
const FLOOR = { float32: 1e-6, float64: 1e-14 };

/**
 * One pass: enough for an iteration, whose next product blurs the rest anyway.
 * @param y [m, k], k at most m; stays the caller's. @returns the same shape, the caller's.
 */
export async function orthonormalOnDevice(la: LinearAlgebra, y: tf.Tensor2D): Promise<tf.Tensor2D> {
  const k = y.shape[1];
  const unit = tf.tidy(() => tf.div(y, tf.maximum(tf.max(tf.abs(y)), 1e-30)) as tf.Tensor2D);
  try {
    const gram = tf.tidy(() => tf.matMul(unit, unit, true));
    const values = Float64Array.from(await gram.data());
    gram.dispose();
    const turn = Float32Array.from(whitening(la, values, k, FLOOR.float32));
    return tf.tidy((): tf.Tensor2D => tf.matMul(unit, tf.tensor2d(turn, [k, k])));
  } finally {
    unit.dispose();
  }
}

/** The same in float64 on the host, y [m, k] row-major. */
export function orthonormal(
  la: LinearAlgebra,
  y: Float64Array,
  m: number,
  k: number,
): Float64Array {
  let q = y;
  for (let pass = 0; pass < 2; pass++) {
    const gram = la.matmul(transpose(q, m, k), q, k, m, k);
    q = la.matmul(q, whitening(la, gram, k, FLOOR.float64), m, k, k);
  }
  return q;
}

/** C V Λ^-½ [k, k] for a Gram matrix, C its scaling to a diagonal of ones. */
function whitening(la: LinearAlgebra, gram: Float64Array, k: number, floor: number): Float64Array {
  const lengths = Float64Array.from({ length: k }, (_, i) => {
    const square = gram[i * (k + 1)]!;
    return square > 0 ? 1 / Math.sqrt(square) : 1;
  });
  const scaled = gram.map((value, i) => value * lengths[Math.floor(i / k)]! * lengths[i % k]!);
  const { values, vectors } = la.eigh(scaled, k); // a row each
  const least = floor * Math.max(values[0] ?? 0, 1); // 1, as the diagonal has it, for zeros
  const columns = transpose(vectors, k, k);
  return columns.map(
    (value, i) =>
      (value * lengths[Math.floor(i / k)]!) / Math.sqrt(Math.max(least, values[i % k]!)),
  );
}
