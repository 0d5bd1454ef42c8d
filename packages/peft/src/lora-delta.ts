/** s (x A^T) B^T with a gradient of its own, see `loraGradients`; dX = g A. */
import * as tf from '@tensorflow/tfjs-core';
import { loraGradients } from './lora-gradients';
import { product } from './product';

type Operands = [x: tf.Tensor2D, a: tf.Tensor2D, b: tf.Tensor2D];

/**
 * @param x [..., in]
 * @param a [r, in]
 * @param b [out, r]
 * @returns [..., out]; the caller disposes it.
 */
export function loraDelta(x: tf.Tensor, a: tf.Tensor2D, b: tf.Tensor2D, scale: number): tf.Tensor {
  return tf.tidy(() => {
    const n = x.shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const rows = tf.reshape(x, [n, a.shape[1]]) as tf.Tensor2D; // [n, in]
    const update = differentiable(scale)(rows, a, b); // [n, out]
    return tf.reshape(update, [...x.shape.slice(0, -1), b.shape[0]]);
  });
}

function differentiable(scale: number) {
  return tf.customGrad((...args) => {
    const [x, a, b, save] = args as unknown as [...Operands, tf.GradSaveFunc];
    const h = product(x, a, false, true); // [n, r]
    const value = product(tf.mul(h, scale), b, false, true); // [n, out]
    save([x, a, b, h]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, a, b, h] = saved as [...Operands, tf.Tensor2D];
      // No rows, as in a batch without pictures: a product of nothing is undefined.
      if (x.shape[0] === 0) return [tf.zeros(x.shape), tf.zeros(a.shape), tf.zeros(b.shape)];
      const [g, da, db] = loraGradients(dy, [x, a, b, h], scale);
      return [product(g, a), da, db];
    };
    return { value, gradFunc };
  });
}
