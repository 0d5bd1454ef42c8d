/** Half precision in composed ops; bits of a half are held as float32 numbers from 0 to 65535. */
import * as tf from '@tensorflow/tfjs-core';
import { halfValues } from './half-float';

/**
 * Bits of halves of magnitudes.
 * @param magnitude finite float32, from 0 to 65504.
 * @param round of the multiple of the unit in the last place, `tf.round` is ties to even.
 */
export function halfFromMagnitude(
  magnitude: tf.Tensor,
  round: (x: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  // Search 2^e <= magnitude, e from -14 (below are subnormals, with the unit of -14) to 15.
  let power = tf.fill(magnitude.shape, 2 ** -14);
  let exponent = tf.fill(magnitude.shape, -14);
  for (const step of [16, 8, 4, 2, 1]) {
    const next = tf.mul(power, 2 ** step);
    const reached = tf.greaterEqual(magnitude, next);
    power = tf.where(reached, next, power);
    exponent = tf.where(reached, tf.add(exponent, step), exponent);
  }
  const multiple = round(tf.div(magnitude, tf.mul(power, 2 ** -10))); // 0 to 2048
  return tf.add(tf.mul(tf.add(exponent, 14), 1024), multiple);
}

/** Bits of the nearest halves, as `halfFromFloatBits`, but NaN has no payload and 0 no sign. */
export function nearestHalves(x: tf.Tensor): tf.Tensor {
  const isNumber = tf.equal(x, x);
  const magnitude = tf.minimum(tf.where(isNumber, tf.abs(x), tf.zerosLike(x)), 65504);
  const finite = halfFromMagnitude(magnitude, tf.round);
  const isInfinite = tf.equal(tf.abs(x), Number.POSITIVE_INFINITY);
  const special = tf.where(isInfinite, tf.fill(x.shape, 0x7c00), finite);
  const sign = tf.mul(tf.cast(tf.less(x, 0), 'float32'), 0x8000);
  return tf.where(isNumber, tf.add(special, sign), tf.fill(x.shape, 0x7e00));
}

/** Values of halves, looked up. */
export function valuesOfHalves(halves: tf.Tensor): tf.Tensor {
  return tf.gather(tf.tensor1d(halfValues()), tf.cast(halves, 'int32'));
}
