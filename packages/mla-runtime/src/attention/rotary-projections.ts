/**
 * Queries and rotary keys of a layer. The query projection's rows are [rope rows of all heads |
 * nope rows of all heads]; a layer that turns all pairs has no second part.
 */
import type { RopePairs } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import { type Projection, projectionOf } from '../projection';
import { applyRotary, type RotaryTable } from '../rotary';
import type { HeadShape } from './head-shape';

export interface RotaryProjections {
  /** Before rotation, [B * L, N * H] and [B * L, K * R]. */
  rawQuery: tf.Tensor2D;
  rawKey: tf.Tensor2D;
  /** Rotated, [B, L, N, R]. */
  queryRope: tf.Tensor4D;
  /** [B, L, N, P]. */
  queryNope: tf.Tensor4D;
  /** Rotated, [B, L, K, R]. */
  keyRope: tf.Tensor4D;
}

/**
 * Project and rotate. Call it inside a tidy; every tensor of the result belongs to the caller.
 * @param rows the layer's input, [B * L, D].
 */
export function projectRotary(
  rows: tf.Tensor2D,
  projections: Map<string, Projection>,
  keyName: string,
  shape: HeadShape,
  rotary: RotaryTable,
): RotaryProjections {
  const [batch, length] = rotary.cos.shape;
  const { numAttentionHeads, numKeyValueHeads, qkRopeHeadDim, qkNopeHeadDim, ropePairs } = shape;
  const ropeWidth = numAttentionHeads * qkRopeHeadDim;
  const rawQuery = projectionOf(projections, 'q_proj').apply(rows) as tf.Tensor2D;
  const rawKey = projectionOf(projections, keyName).apply(rows) as tf.Tensor2D;
  const heads = (t: tf.Tensor, count: number) =>
    tf.reshape(t, [batch, length, count, -1]) as tf.Tensor4D;
  const noWidth = (count: number) => tf.zeros<tf.Rank.R4>([batch, length, count, 0]);
  const [rope, nope] =
    qkNopeHeadDim === 0
      ? [rawQuery]
      : tf.split(rawQuery, [ropeWidth, numAttentionHeads * qkNopeHeadDim], 1);
  const queryNope = nope ? heads(nope, numAttentionHeads) : noWidth(numAttentionHeads);
  if (qkRopeHeadDim === 0) {
    const [queryRope, keyRope] = [noWidth(numAttentionHeads), noWidth(numKeyValueHeads)];
    return { rawQuery, rawKey, queryRope, queryNope, keyRope };
  }
  // Turned together, as queries and keys take the same angles.
  const all = heads(tf.concat([rope!, rawKey], 1), numAttentionHeads + numKeyValueHeads); // [B, L, N + K, R]
  const turned = applyRotary(all, rotary, ropePairs && pairsOfHeads(ropePairs, numAttentionHeads));
  const [queryRope, keyRope] = tf.split(turned, [numAttentionHeads, numKeyValueHeads], 2) as [
    tf.Tensor4D,
    tf.Tensor4D,
  ];
  return { rawQuery, rawKey, queryRope, queryNope, keyRope };
}

/** Pairs of all query heads, which are those of their KV head, then of the KV heads. */
function pairsOfHeads(pairs: RopePairs, numAttentionHeads: number): RopePairs {
  const perKey = numAttentionHeads / pairs.length;
  return [...pairs.flatMap((own) => new Array<Int32Array>(perKey).fill(own)), ...pairs];
}
