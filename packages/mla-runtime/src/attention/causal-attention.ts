/**
 * Causal softmax attention over materialised keys and values, in blocks of query rows, so that the
 * whole [L, L] score matrix never exists. Grouped queries share their KV head without copies. On
 * webgpu a kernel does it by tiles.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isTiledAttention, tiledAttention } from '../kernels/tiled-attention';
import { attendBlock } from './attend-block';
import type { PastTokens } from './past-tokens';
import { part, reshaped, rowsOf } from './views';

/** Rows of queries a block: bounds the scores to B * N * 256 * L floats. */
const QUERY_BLOCK = 256;
/** Added to masked scores: far below any score, and finite, so that a masked row stays finite. */
export const MASKED = -1e9;

export interface AttentionMasks {
  causal: tf.Tensor2D;
  padding?: tf.Tensor4D;
  branches?: tf.Tensor4D;
}

/**
 * @param query [B, L, N, H].
 * @param key [B, L, K, H]; N is a multiple of K.
 * @param value [B, L, K, V].
 * @param masks `causal` from {@link causalMask}; `padding` [B, 1, 1, T], 0 or {@link MASKED}, absent
 *   when no key is padded; `branches` [B, 1, L, T], MASKED where a key is of another branch than its
 *   query, absent when rows do not branch.
 * @param past of the pieces before this one; T below counts theirs and this one's.
 * @returns [B * L, N * V]; the caller disposes it.
 */
export function causalAttention(
  query: tf.Tensor4D,
  key: tf.Tensor4D,
  value: tf.Tensor4D,
  { causal, padding, branches }: AttentionMasks,
  scale: number,
  past?: PastTokens,
): tf.Tensor2D {
  const [batch, length, heads] = query.shape;
  const [, , keyHeads, valueDim] = value.shape;
  return tf.tidy(() => {
    const ownKeys = tf.transpose(key, [0, 2, 3, 1]); // [B, K, H, L]
    const ownValues = tf.transpose(value, [0, 2, 1, 3]); // [B, K, L, V]
    const { keys, values } = past?.extend(ownKeys, ownValues) ?? {
      keys: ownKeys,
      values: ownValues,
    }; // [B, K, H, T], [B, K, T, V]
    const inputs = { query, keys, values, padding, branches };
    if (isTiledAttention(inputs)) return rowsOf(tiledAttention(inputs, scale));
    const scaled = tf.transpose(tf.mul(query, scale), [0, 2, 1, 3]); // [B, N, L, H]
    const before = values.shape[2]! - length;
    const blocks: tf.Tensor[] = [];
    for (let start = 0; start < length; start += QUERY_BLOCK) {
      const rows = Math.min(QUERY_BLOCK, length - start);
      blocks.push(tf.tidy(() => attendRows(start, rows)));
    }
    const output = blocks.length === 1 ? blocks[0]! : tf.concat(blocks, 2); // [B, N, L, V]
    return tf.reshape(tf.transpose(output, [0, 2, 1, 3]), [batch * length, heads * valueDim]);

    function attendRows(start: number, rows: number): tf.Tensor {
      const end = before + start + rows; // keys beyond the last row of the block are never visible
      const width = query.shape[3];
      const q = reshaped(part(scaled, [0, 0, start, 0], [batch, heads, rows, width]), [
        batch,
        keyHeads,
        (heads / keyHeads) * rows,
        width,
      ]);
      const k = part(keys, [0, 0, 0, 0], [batch, keyHeads, width, end]);
      const v = part(values, [0, 0, 0, 0], [batch, keyHeads, end, valueDim]);
      let mask: tf.Tensor = part(causal, [0, lastStart(length) - start], [rows, end]);
      if (padding) mask = tf.add(mask, part(padding, [0, 0, 0, 0], [batch, 1, 1, end]));
      if (branches) mask = tf.add(mask, part(branches, [0, 0, start, 0], [batch, 1, rows, end]));
      return reshaped(attendBlock(q, k, v, mask, heads), [batch, heads, rows, valueDim]);
    }
  });
}

/**
 * The mask of the last block of query rows as if it were full, [rows, start + rows]: MASKED where a
 * key lies after its query. Cut its first columns off and it is the mask of an earlier block.
 * @param before keys before the first query.
 */
export function causalMask(length: number, before = 0): tf.Tensor2D {
  const start = before + lastStart(length);
  const rows = Math.min(QUERY_BLOCK, length);
  const mask = new Float32Array(rows * (start + rows));
  for (let row = 0; row < rows; row++) {
    mask.fill(MASKED, row * (start + rows) + start + row + 1, (row + 1) * (start + rows));
  }
  return tf.tensor2d(mask, [rows, start + rows]);
}

/** First row of the last block. */
function lastStart(length: number): number {
  return Math.max(0, Math.ceil(length / QUERY_BLOCK) - 1) * QUERY_BLOCK;
}
