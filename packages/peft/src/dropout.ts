import * as tf from '@tensorflow/tfjs-core';

/**
 * Set a share of the values to zero and multiply the rest by 1 / (1 - rate). The same seed gives
 * the same values on every backend, so that a recomputed forward pass sees the same network.
 * @param rate in [0, 1).
 * @returns the shape of x; the caller disposes it.
 */
export function dropout<T extends tf.Tensor>(x: T, rate: number, seed: string): T {
  return tf.tidy(() => {
    const draws = tf.randomUniform(x.shape, 0, 1, 'float32', seed);
    const kept = tf.cast(tf.greaterEqual(draws, rate), 'float32');
    return tf.mul(x, tf.mul(kept, 1 / (1 - rate))) as T;
  });
}
