/**
 * Scores of a rotary keys' bias b that is not in the cache. Rotated, it is R(p) b at every token of
 * position p, and for one pair of a query q
 *   q·R(p)b = cos(θp) (q1 b1 + q2 b2) + sin(θp) (q2 b1 − q1 b2).
 * A bias that dwarfs what varies from token to token (Qwen2.5-VL has such) would else set the step
 * of the quantizer.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { AngleLookup } from '../cache/slot-angles';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import { applyRotary, type RotaryTable } from '../rotary';
import { type HeadShape, turnedPairs } from './head-shape';

/**
 * What maps a query to its coefficients of all cosines and sines.
 * @param bias [K * R].
 * @returns [K, R, H]; the caller disposes it.
 */
export function rotaryBiasMatrix(bias: tf.Tensor1D, shape: HeadShape): tf.Tensor3D {
  const { numKeyValueHeads, qkRopeHeadDim, headDim } = shape;
  const half = headDim / 2;
  const width = qkRopeHeadDim / 2;
  return tf.tidy(() => {
    // Cast, as oneHot of wasm writes integers into a float tensor.
    const places = tf.cast(
      tf.oneHot(tf.tensor2d(turnedPairs(shape), [numKeyValueHeads, width], 'int32'), half),
      'float32',
    );
    const [first, second] = tf.split(tf.reshape(bias, [numKeyValueHeads, 2 * width, 1]), 2, 1);
    const [own, other] = [tf.mul(first!, places), tf.mul(second!, places)]; // [K, R / 2, H / 2]
    const rows = [tf.concat([own, tf.neg(other)], 2), tf.concat([other, own], 2)];
    return tf.concat(rows, 1) as tf.Tensor3D;
  });
}

/**
 * @param queryRope [B, K, G, R], rotated and scaled.
 * @param matrix of {@link rotaryBiasMatrix}.
 * @returns what the bias adds to each slot's score, [B, N, T]; the caller disposes it.
 */
export function rotaryBiasScores(
  queryRope: tf.Tensor4D,
  matrix: tf.Tensor3D,
  { table, axes }: AngleLookup,
): tf.Tensor3D {
  const [batch, keyHeads, perKey, width] = queryRope.shape;
  const heads = keyHeads * perKey;
  const headDim = matrix.shape[2];
  return tf.tidy(() => {
    const stacked = tf.reshape(tf.transpose(queryRope, [1, 0, 2, 3]), [keyHeads, -1, width]);
    const product = stackedMatMul(stacked, matrix); // [K, B * G, H]
    const byRow = tf.transpose(tf.reshape(product, [keyHeads, batch, -1, headDim]), [1, 0, 2, 3]);
    const coefficients = tf.transpose(tf.reshape(byRow, [batch * heads, headDim])); // [H, B * N]
    const terms = axes.map(({ slots, pairs }) => {
      const own = pairs ? tf.mul(coefficients, pairs) : coefficients;
      // [positions * B, N]
      const byPosition = tf.reshape(tf.matMul(table, own as tf.Tensor2D), [-1, heads]);
      return tf.gather(byPosition, slots); // [B * T, N]
    });
    return tf.transpose(tf.reshape(tf.addN(terms), [batch, -1, heads]), [0, 2, 1]) as tf.Tensor3D;
  });
}

/** The rotated bias itself at the tokens of a table, [B, L, K, R]; the caller disposes it. */
export function rotatedBias(
  bias: tf.Tensor1D,
  { numKeyValueHeads, qkRopeHeadDim, ropePairs }: HeadShape,
  rotary: RotaryTable,
): tf.Tensor4D {
  return tf.tidy(() =>
    applyRotary(tf.reshape(bias, [1, 1, numKeyValueHeads, qkRopeHeadDim]), rotary, ropePairs),
  );
}
