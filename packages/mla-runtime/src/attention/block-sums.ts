import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';

/**
 * Weighted sums of cached vectors that lie in blocks.
 * @param weights [B, parts, N / parts, T of the block].
 * @param blocks [B, parts, T of the block, W].
 * @returns [B, parts, N / parts, W]; the caller disposes it.
 */
export function blockSums(
  weights: readonly tf.Tensor4D[],
  blocks: readonly tf.Tensor4D[],
): tf.Tensor4D {
  return tf.tidy(() => {
    const sums = blocks.map((block, i) => stackedMatMul(weights[i]!, block));
    return (sums.length === 1 ? sums[0]! : tf.addN(sums)) as tf.Tensor4D;
  });
}
