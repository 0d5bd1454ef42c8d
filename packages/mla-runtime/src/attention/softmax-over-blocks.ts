/**
 * One softmax over scores that were computed block by block. Scores are small beside the cache, so
 * the composed form joins them; a fused kernel would merge partial softmaxes by log-sum-exp.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param scores per segment, per block of keys [B, N, T of the block].
 * @param offsets what is added to them, per segment [B, 1 or N, T of the segment], a mask for one; or
 *   [B, 1 or N, L, T], where N above is N * L, the heads of L queries side by side.
 * @param lengths T of the blocks that the weights are for, per segment. Keys and values may lie in
 *   blocks of their own, where one of them is quantized in groups of tokens.
 * @returns weights [B, N, T of the block] per segment, per such block; the caller disposes them.
 */
export function softmaxOverBlocks(
  scores: readonly (readonly tf.Tensor3D[])[],
  offsets: readonly (tf.Tensor3D | tf.Tensor4D | undefined)[],
  lengths: readonly (readonly number[])[],
): tf.Tensor3D[][] {
  return tf.tidy(() => {
    const segments = scores.map((blocks, i) => {
      const joined = joinScores(blocks);
      return offsets[i] ? addOffset(joined, offsets[i]) : joined;
    });
    const weights = tf.softmax(segments.length === 1 ? segments[0]! : tf.concat(segments, 2));
    const all = lengths.flat();
    const parts = all.length === 1 ? [weights] : tf.split(weights, all, 2);
    return lengths.map((blocks) => parts.splice(0, blocks.length) as tf.Tensor3D[]);
  });
}

/** Scores [B, N, T] of all blocks [B, N, T of the block]. */
export function joinScores(blocks: readonly tf.Tensor3D[]): tf.Tensor3D {
  return blocks.length === 1 ? blocks[0]! : tf.concat([...blocks], 2);
}

/** Add [B, 1 or N, T] or [B, 1 or N, L, T] to the scores of N heads, or of N * L. */
export function addOffset(scores: tf.Tensor3D, offset: tf.Tensor3D | tf.Tensor4D): tf.Tensor3D {
  if (offset.rank === 3) return tf.add(scores, offset);
  const [batch, , length, tokens] = offset.shape as [number, number, number, number];
  const byQuery = tf.reshape(scores, [batch, -1, length, tokens]);
  return tf.reshape(tf.add(byQuery, offset), scores.shape);
}
