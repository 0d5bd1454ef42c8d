/**
 * Several queries of a row as more query heads of the same KV heads: decode then attends with all of
 * them as it does with one. Head by head, so that those of a KV head stay side by side.
 */
import * as tf from '@tensorflow/tfjs-core';

/** [B, L, N, W] to [B, 1, N * L, W]; the caller disposes it. */
export function queriesAsHeads(queries: tf.Tensor4D): tf.Tensor4D {
  const [batch, length, heads, width] = queries.shape;
  const shape: [number, number, number, number] = [batch, 1, heads * length, width];
  if (length === 1 || width === 0) return tf.reshape(queries, shape);
  return tf.tidy(() => tf.reshape(tf.transpose(queries, [0, 2, 1, 3]), shape));
}

/** [B, N * L, V] to [B, L, N * V]; the caller disposes it. */
export function headsAsQueries(heads: tf.Tensor3D, length: number): tf.Tensor3D {
  const [batch, , width] = heads.shape;
  if (length === 1) return tf.reshape(heads, [batch, 1, -1]);
  return tf.tidy(() => {
    const byHead = tf.reshape(heads, [batch, -1, length, width]);
    return tf.reshape(tf.transpose(byHead, [0, 2, 1, 3]), [batch, length, -1]);
  });
}
