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
    // The native backend copies what it reshapes.
    const rows = x.rank === 2 ? x : tf.reshape(x, [-1, weight.shape[0]]); // [n, in]
    const product = tf.matMul(rows as tf.Tensor2D, weight); // [n, out]
    const y = bias ? tf.add(product, bias) : product;
    return x.rank === 2 ? y : tf.reshape(y, shape);
  });
}
