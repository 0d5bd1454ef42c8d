import * as tf from '@tensorflow/tfjs-core';

/** x [..., in] times weight [in, out], and the bias. The caller disposes the result [..., out]. */
export function denseApply(
  x: tf.Tensor,
  weight: tf.Tensor2D,
  bias: tf.Tensor1D | undefined,
): tf.Tensor {
  const shape = [...x.shape.slice(0, -1), weight.shape[1]];
  // A product over no rows is undefined on wasm.
  if (x.size === 0) return tf.zeros(shape);
  return tf.tidy(() => {
    const rows = tf.reshape(x, [-1, weight.shape[0]]) as tf.Tensor2D; // [n, in]
    const product = tf.matMul(rows, weight); // [n, out]
    return tf.reshape(bias ? tf.add(product, bias) : product, shape);
  });
}
