/**
 * One softmax over scores that were computed block by block. Scores are small beside the cache, so
 * the composed form joins them; a fused kernel would merge partial softmaxes by log-sum-exp.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param scores per segment, per block [B, N, T of the block].
 * @param offsets what is added to them, per segment [B, 1 or N, T of the segment], a mask for one; or
 *   [B, 1 or N, L, T], where N above is N * L, the heads of L queries side by side.
 * @returns weights, arranged and shaped as the scores; the caller disposes them.
 */
export function softmaxOverBlocks(
  scores: readonly (readonly tf.Tensor3D[])[],
  offsets: readonly (tf.Tensor3D | tf.Tensor4D | undefined)[],
): tf.Tensor3D[][] {
  return tf.tidy(() => {
    const segments = scores.map((blocks, i) => {
      const joined = blocks.length === 1 ? blocks[0]! : tf.concat([...blocks], 2);
      return offsets[i] ? addOffset(joined, offsets[i]) : joined;
    });
    const weights = tf.softmax(segments.length === 1 ? segments[0]! : tf.concat(segments, 2));
    const lengths = scores.flat().map((block) => block.shape[2]);
    const parts = lengths.length === 1 ? [weights] : tf.split(weights, lengths, 2);
    return scores.map((blocks) => parts.splice(0, blocks.length) as tf.Tensor3D[]);
  });
}

/** Add [B, 1 or N, T] or [B, 1 or N, L, T] to the scores of N heads, or of N * L. */
export function addOffset(scores: tf.Tensor3D, offset: tf.Tensor3D | tf.Tensor4D): tf.Tensor3D {
  if (offset.rank === 3) return tf.add(scores, offset);
  const [batch, , length, tokens] = offset.shape as [number, number, number, number];
  const byQuery = tf.reshape(scores, [batch, -1, length, tokens]);
  return tf.reshape(tf.add(byQuery, offset), scores.shape);
}
