/**
 * Several queries of a row as more query heads of the same KV heads: decode then attends with all of
 * them as it does with one. Head by head, so that those of a KV head stay side by side.
 */
import * as tf from '@tensorflow/tfjs-core';
import { reshaped } from './views';

/** [B, L, N, W] to [B, K, G * L, W]; the caller disposes it. */
export function queriesAsHeads(queries: tf.Tensor4D, keyHeads: number): tf.Tensor4D {
  const [batch, length, heads, width] = queries.shape;
  const shape: [number, number, number, number] = [
    batch,
    keyHeads,
    (heads / keyHeads) * length,
    width,
  ];
  if (length === 1 || width === 0) return tf.reshape(queries, shape);
  return tf.tidy(() => tf.reshape(tf.transpose(queries, [0, 2, 1, 3]), shape));
}

/** [B, K, G * L, V], its heads in one axis or two, to [B * L, N * V], inside a tidy. */
export function headsAsQueries(
  heads: tf.Tensor,
  [batch, length]: readonly [number, number],
): tf.Tensor2D {
  if (length === 1) return reshaped(heads, [batch, heads.size / batch]) as tf.Tensor2D;
  return tf.tidy(() => {
    const byHead = tf.reshape(heads, [batch, -1, length, heads.shape.at(-1)!]);
    return tf.reshape(tf.transpose(byHead, [0, 2, 1, 3]), [batch * length, -1]);
  });
}
