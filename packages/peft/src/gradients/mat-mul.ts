/**
 * Gradient of a (batched) matrix product. Batch axes that were broadcast are summed.
 * (Broadcast whole batches only: the kernels of wasm and cpu pair the matrices of [2, 1, ...] and
 * [2, 5, ...] wrongly, forward already.)
 */
import * as tf from '@tensorflow/tfjs-core';
import { product } from '../product';
import { sumToShape } from './sum-to-shape';

export const matMulGradients: tf.GradConfig[] = [
  {
    kernelName: tf.BatchMatMul,
    inputsToSave: ['a', 'b'],
    gradFunc: (anyDy, saved, attrs) => {
      const dy = anyDy as tf.Tensor;
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const { transposeA, transposeB } = attrs as unknown as tf.BatchMatMulAttrs;
      return {
        // dA = dY B^T; of a stored transposed, dA^T = B dY^T
        a: () =>
          sumToShape(
            transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB),
            a.shape,
          ),
        // dB = A^T dY; of b stored transposed, dB^T = dY^T A
        b: () =>
          sumToShape(
            transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false),
            b.shape,
          ),
      };
    },
  },
];
