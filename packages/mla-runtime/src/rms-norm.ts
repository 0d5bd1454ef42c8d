/** Root mean square normalisation, x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019). */
import * as tf from '@tensorflow/tfjs-core';

/**
 * Normalise over the last dimension.
 * @param x [..., D].
 * @param weight [D].
 * @returns [..., D]; the caller disposes it.
 */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, eps: number): T {
  return tf.tidy(() => {
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps));
    return tf.mul(tf.mul(x, scale), weight) as T;
  });
}
