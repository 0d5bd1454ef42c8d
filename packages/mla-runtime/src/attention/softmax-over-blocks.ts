/**
 * One softmax over scores of several segments, cut into weights for blocks of values. Scores are small
 * beside the cache, so the composed form joins them; a fused kernel would merge partial softmaxes by
 * log-sum-exp.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param scores per segment, [B, parts, N / parts, T].
 * @param lengths T of the blocks that the weights are for, per segment. Keys and values may lie in
 *   blocks of their own, where one of them is quantized in groups of tokens.
 * @returns weights [B, parts, N / parts, T of the block] per segment, per block; the caller disposes
 *   them.
 */
export function softmaxOverBlocks(
  scores: readonly tf.Tensor4D[],
  lengths: readonly (readonly number[])[],
): tf.Tensor4D[][] {
  return tf.tidy(() => {
    const weights = tf.softmax(scores.length === 1 ? scores[0]! : tf.concat([...scores], 3));
    const all = lengths.flat();
    const parts = all.length === 1 ? [weights] : tf.split(weights, all, 3);
    return lengths.map((blocks) => parts.splice(0, blocks.length) as tf.Tensor4D[]);
  });
}

/**
 * Add to scores.
 * @param scores of any shape that holds N heads of T tokens, or N * L of them.
 * @param offset a mask, for one: [B, 1 or N, T], or [B, 1 or N, L, T], where the heads of L queries lie
 *   side by side.
 * @returns the shape of scores; the caller disposes it.
 */
export function addOffset<S extends tf.Tensor>(scores: S, offset: tf.Tensor3D | tf.Tensor4D): S {
  const [batch, , ...rest] = offset.shape;
  return tf.tidy(() => {
    const byHead = tf.reshape(scores, [batch!, -1, ...rest]);
    return tf.reshape(tf.add(byHead, offset), scores.shape) as S;
  });
}
