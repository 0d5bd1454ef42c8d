/**
 * Orthonormal columns for a block of vectors, by its Gram matrix: columns are scaled to length 1,
 * YᵀY = L Lᵀ in float64, and Y L⁻ᵀ is the answer. Vectors in the order of what a matrix makes of
 * them stay in that order, as with QR, so that scaling takes most of the condition of steep spectra.
 * Where rounding leaves the Gram matrix indefinite, a multiple of I is added to it: directions below
 * that are rounding, and are kept, shorter than 1.
 */
import * as tf from '@tensorflow/tfjs-core';
import { gramOnDevice } from './gram-on-device';
import type { LinearAlgebra } from './linear-algebra';

/** The least that is added, of a diagonal of ones. */
const SHIFT = { float32: 1e-6, float64: 1e-14 };

export interface Whitening {
  /** T [k, k], upper triangular, with Tᵀ (YᵀY) T = I. */
  turn: Float64Array;
  /** Of each column, what is not in the span of those before it. */
  lengths: Float64Array;
  /** Whether something was added. */
  shifted: boolean;
}

/** Passes at most: of a shift of 1e-6 a second leaves nothing, but for directions that are all rounding. */
const PASSES = 3;

/**
 * @param y [m, k], k at most m; stays the caller's.
 * @returns `q` of the same shape, the caller's, and the lengths of what was divided.
 */
export async function orthonormalOnDevice(
  la: LinearAlgebra,
  y: tf.Tensor2D,
): Promise<{ q: tf.Tensor2D; lengths: Float64Array }> {
  const k = y.shape[1];
  const lengths = new Float64Array(k).fill(1);
  let q = tf.clone(y);
  for (let pass = 0; pass < PASSES; pass++) {
    const gram = tf.tidy(() => gramOnDevice(q)); // [k, k]
    const values = new Float64Array(await gram.data());
    gram.dispose();
    const found = whitening(la, values, k, 'float32');
    const next = tf.tidy((): tf.Tensor2D => {
      return tf.matMul(q, tf.tensor2d(new Float32Array(found.turn), [k, k]));
    });
    q.dispose();
    q = next;
    for (let i = 0; i < k; i++) lengths[i]! *= found.lengths[i]!;
    if (!found.shifted) break;
  }
  return { q, lengths };
}

/** @param gram [k, k], symmetric. @param precision of the products that it was summed from. */
export function whitening(
  la: LinearAlgebra,
  gram: Float64Array,
  k: number,
  precision: keyof typeof SHIFT,
): Whitening {
  const scale = Float64Array.from({ length: k }, (_, i) => {
    const square = gram[i * (k + 1)]!;
    return square > 0 ? 1 / Math.sqrt(square) : 1;
  });
  const scaled = new Float64Array(k * k);
  for (let i = 0; i < k; i++)
    for (let j = 0; j < k; j++) scaled[i * k + j] = gram[i * k + j]! * scale[i]! * scale[j]!;
  let turn = la.inverseCholesky(scaled, k);
  const shifted = !turn;
  for (let shift = SHIFT[precision]; !turn; shift *= 10) {
    for (let i = 0; i < k; i++) scaled[i * (k + 1)]! += shift;
    turn = la.inverseCholesky(scaled, k);
  }
  for (let i = 0; i < k; i++) for (let j = i; j < k; j++) turn[i * k + j]! *= scale[i]!;
  return { turn, lengths: Float64Array.from(scale, (_, i) => 1 / turn[i * (k + 1)]!), shifted };
}
