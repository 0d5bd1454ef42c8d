/**
 * One softmax over scores that were computed block by block. Scores are small beside the cache, so
 * the composed form joins them; a fused kernel merges partial softmaxes by log-sum-exp instead.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param scores per block [B, N, T_i], blocks of the same segment next to one another.
 * @param masks per segment [B, 1, T of the segment], or `undefined` where every slot is filled.
 * @returns weights per block, shaped as the scores; the caller disposes them.
 */
export function softmaxOverBlocks(
  scores: readonly tf.Tensor[],
  masks: readonly (tf.Tensor3D | undefined)[],
  segmentLengths?: readonly number[],
): tf.Tensor[] {
  return tf.tidy(() => {
    let joined = scores.length === 1 ? scores[0]! : tf.concat(scores as tf.Tensor[], 2);
    if (masks.some((mask) => mask !== undefined)) {
      const batch = joined.shape[0]!;
      const lengths = segmentLengths ?? [joined.shape[2]!];
      const filled = masks.map((mask, i) => mask ?? tf.zeros([batch, 1, lengths[i]!]));
      joined = tf.add(joined, filled.length === 1 ? filled[0]! : tf.concat(filled, 2));
    }
    const weights = tf.softmax(joined);
    if (scores.length === 1) return [weights];
    return tf.split(
      weights,
      scores.map((block) => block.shape[2]!),
      2,
    );
  });
}
