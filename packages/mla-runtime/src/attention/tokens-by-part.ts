import * as tf from '@tensorflow/tfjs-core';
import { gatherSegment, segmentColumns } from '../cache/segment-tokens';
import type { TokenLayout } from '../token-layout';
import type { Segment } from './attention';
import { reshaped } from './views';

/**
 * Tokens of a segment as the cache takes them.
 * @param x [B, L, ...] or [B * L, ...], of W values a token.
 * @returns [B, parts, T, W / parts], T being L where there is no padding; x itself where it is so
 *   already.
 */
export function tokensByPart(
  x: tf.Tensor,
  segment: Segment,
  layout: TokenLayout,
  parts: number,
): tf.Tensor4D {
  const { batch, length } = layout;
  const width = x.size / (batch * length);
  const all = segmentColumns(segment, layout).every((columns) => columns.length === length);
  if (all && length === 1) return reshaped(x, [batch, parts, 1, width / parts]) as tf.Tensor4D;
  return tf.tidy(() => {
    const own = gatherSegment(tf.reshape(x, [batch, length, width]), segment, layout);
    const split = tf.reshape(own, [batch, own.shape[1], parts, width / parts]);
    return tf.transpose(split, [0, 2, 1, 3]) as tf.Tensor4D;
  });
}
