/**
 * x (W + s (B A)^T) with a gradient of its own by x, A and B: the gradient of the whole weight,
 * x^T dY, is never made. See `loraGradients`; dX = dY (W + s (B A)^T)^T.
 */
import * as tf from '@tensorflow/tfjs-core';
import { loraGradients } from './lora-gradients';
import { product } from './product';

type Operands = [x: tf.Tensor2D, a: tf.Tensor2D, b: tf.Tensor2D];

/**
 * @param x [..., in], of one row at least.
 * @param weight [in, out], a constant.
 * @param a [r, in]
 * @param b [out, r]
 * @returns [..., out]; the caller disposes it.
 */
export function loraMerged(
  x: tf.Tensor,
  weight: tf.Tensor2D,
  a: tf.Tensor2D,
  b: tf.Tensor2D,
  scale: number,
): tf.Tensor {
  const [inFeatures, outFeatures] = weight.shape;
  const apply = tf.customGrad((...args) => {
    const [x, a, b, save] = args as unknown as [...Operands, tf.GradSaveFunc];
    save([x, a, b, weight]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, a, b, weight] = saved as [...Operands, tf.Tensor2D];
      const [, da, db] = loraGradients(dy, [x, a, b], scale);
      // Added up again, so that no map keeps a second weight until its turn comes.
      return [product(dy, mergedWeight(weight, a, b, scale), false, true), da, db];
    };
    return { value: tf.matMul(x, mergedWeight(weight, a, b, scale)), gradFunc };
  });
  return tf.tidy(() => {
    const rows = x.rank === 2 ? x : tf.reshape(x, [-1, inFeatures]); // [n, in]
    const y = apply(rows, a, b); // [n, out]
    return x.rank === 2 ? y : tf.reshape(y, [...x.shape.slice(0, -1), outFeatures]);
  });
}

/** W + s (B A)^T, [in, out]. */
export function mergedWeight(
  weight: tf.Tensor2D,
  a: tf.Tensor2D,
  b: tf.Tensor2D,
  scale: number,
): tf.Tensor2D {
  return tf.add(weight, tf.mul(product(a, b, true, true), scale));
}
