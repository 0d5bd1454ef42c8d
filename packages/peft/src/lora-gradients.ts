/**
 * Gradients of s (x A^T) B^T by A and B, through the low rank:
 *   g = s dY B [n, r];  h = x A^T [n, r];  dA = g^T x;  dB = s dY^T h
 */
import * as tf from '@tensorflow/tfjs-core';
import { product } from './product';

/**
 * @param dy [n, out].
 * @param saved x [n, in], A [r, in], B [out, r] and, where it is at hand, h.
 * @returns g, dA [r, in] and dB [out, r]; the caller disposes them.
 */
export function loraGradients(
  dy: tf.Tensor,
  [x, a, b, h = product(x, a, false, true)]: [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor?],
  scale: number,
): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const g = tf.mul(product(dy, b), scale);
  return [g, product(g, x, true), tf.mul(product(dy, h, true), scale)];
}
