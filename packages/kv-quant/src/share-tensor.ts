import * as tf from '@tensorflow/tfjs-core';

/**
 * The same values under a lifetime of their own. `tf.clone` would copy them on wasm; a reshape hands
 * on the data of every backend.
 */
export function shareTensor(x: tf.Tensor): tf.Tensor {
  return tf.reshape(x, x.shape);
}
