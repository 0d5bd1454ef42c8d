import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';

/**
 * Score the queries of a row against a block of cached vectors.
 * @param query [B, parts, N / parts, W], scaled.
 * @param block [B, parts, T, W].
 * @returns [B, N, T]; the caller disposes it.
 */
export function blockScores(query: tf.Tensor4D, block: tf.Tensor4D): tf.Tensor3D {
  const [batch, , tokens] = block.shape;
  return tf.tidy(() => tf.reshape(stackedMatMul(query, block, false, true), [batch, -1, tokens]));
}
