import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';

/**
 * Score the queries of a row against cached vectors, block by block.
 * @param query [B, parts, N / parts, W], scaled.
 * @param blocks [B, parts, T of the block, W].
 * @returns [B, parts, N / parts, T]; the caller disposes it.
 */
export function blockScores(query: tf.Tensor4D, blocks: readonly tf.Tensor4D[]): tf.Tensor4D {
  return tf.tidy(() => {
    const scores = blocks.map((block) => stackedMatMul(query, block, false, true));
    return (scores.length === 1 ? scores[0]! : tf.concat(scores, 3)) as tf.Tensor4D;
  });
}
