/**
 * s (x A^T) B^T with a gradient of its own: forward and backward transpose matrices of width r only,
 * since on wasm a product with a transposed operand is many times slower than the transpose.
 *   h = x A^T [n, r];  g = s dY B [n, r];  dX = g A;  dA = g^T x;  dB = s (h^T dY)^T
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param x [..., in]
 * @param a [r, in]
 * @param b [out, r]
 * @returns [..., out]; the caller disposes it.
 * @throws RangeError if x doesn't end in `in` features.
 */
export function loraDelta(x: tf.Tensor, a: tf.Tensor2D, b: tf.Tensor2D, scale: number): tf.Tensor {
  if (x.rank === 0 || x.shape.at(-1) !== a.shape[1]) {
    throw new RangeError(`lora.apply: x must be [..., ${a.shape[1]}], got [${x.shape}].`);
  }
  return tf.tidy(() => {
    const n = x.shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const rows = tf.reshape(x, [n, a.shape[1]]) as tf.Tensor2D; // [n, in]
    const update = differentiable(scale)(rows, a, b); // [n, out]
    return tf.reshape(update, [...x.shape.slice(0, -1), b.shape[0]]);
  });
}

function differentiable(scale: number) {
  return tf.customGrad((...args) => {
    const [x, a, b, save] = args as unknown as [
      tf.Tensor2D,
      tf.Tensor2D,
      tf.Tensor2D,
      tf.GradSaveFunc,
    ];
    const h = tf.matMul(x, tf.transpose(a)); // [n, r]
    const value = tf.matMul(tf.mul(h, scale), tf.transpose(b)); // [n, out]
    save([x, a, b, h]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, a, b, h] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
      // No rows, as in a batch without pictures: a product over an inner size of 0 is undefined.
      if (x.shape[0] === 0) return [tf.zeros(x.shape), tf.zeros(a.shape), tf.zeros(b.shape)];
      const g = tf.mul(tf.matMul(dy as tf.Tensor2D, b), scale) as tf.Tensor2D; // [n, r]
      const dx = tf.matMul(g, a); // [n, in]
      const da = tf.matMul(tf.transpose(g), x); // [r, in]
      const dbT = tf.matMul(tf.transpose(h), dy as tf.Tensor2D); // [r, out]
      return [dx, da, tf.mul(tf.transpose(dbT), scale)];
    };
    return { value, gradFunc };
  });
}
