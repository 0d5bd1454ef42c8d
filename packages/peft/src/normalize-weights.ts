import * as tf from '@tensorflow/tfjs-core';

/**
 * Weights of P rows as shares that sum to 1, [P, 1].
 * @param weights [P]; none means equal shares.
 * @param taken [P] float32, 0 for a row that takes no part whatever its weight; none means all do.
 * @throws RangeError, in the name of `caller`, if the weights have another shape.
 */
export function normalizeWeights(
  caller: string,
  rows: number,
  weights?: tf.Tensor1D,
  taken: tf.Tensor = tf.ones([rows]),
): tf.Tensor2D {
  if (weights && (weights.rank !== 1 || weights.shape[0] !== rows)) {
    throw new RangeError(`${caller}: weights must be [${rows}], got [${weights.shape}].`);
  }
  const w = weights ? tf.mul(tf.cast(weights, 'float32'), taken) : taken;
  return tf.reshape(tf.div(w, tf.sum(w)), [rows, 1]);
}
