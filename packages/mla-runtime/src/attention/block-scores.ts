import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';

/**
 * Score one query a row against a block of cached vectors. The block is the left factor as it lies
 * in the cache: it is by far the larger one, and wasm would pack a right one anew at each step.
 * @param block [B, parts, T, W].
 * @param query [B, parts, W, N / parts], scaled.
 * @returns [B, N, T]; the caller disposes it.
 */
export function blockScores(block: tf.Tensor4D, query: tf.Tensor4D): tf.Tensor3D {
  const [batch, , tokens] = block.shape;
  return tf.tidy(() => {
    const scores = stackedMatMul(block, query); // [B, parts, T, N / parts]
    return tf.reshape(tf.transpose(scores, [0, 1, 3, 2]), [batch, -1, tokens]);
  });
}
