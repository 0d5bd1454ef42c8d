import * as tf from '@tensorflow/tfjs-core';

/** Weights [P] as shares that sum to 1, [P, 1]; equal shares if there are none. */
export function normalizeWeights(
  caller: string,
  weights: tf.Tensor1D | undefined,
  rows: number,
): tf.Tensor2D {
  if (!weights) return tf.fill([rows, 1], 1 / rows) as tf.Tensor2D;
  if (weights.rank !== 1 || weights.shape[0] !== rows) {
    throw new RangeError(`${caller}: weights must be [${rows}], got [${weights.shape}].`);
  }
  const w = tf.cast(weights, 'float32');
  return tf.reshape(tf.div(w, tf.sum(w)), [rows, 1]);
}
