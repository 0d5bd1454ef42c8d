/** Queries and rotary keys of new tokens, as decode attends with them. */
import * as tf from '@tensorflow/tfjs-core';
import { takesHostRotary, turnOnHost } from '../kernels/turn-on-host';
import { type Projection, projectionOf } from '../projection';
import type { RotaryTable } from '../rotary';
import type { HeadShape } from './head-shape';
import { queriesAsHeads } from './queries-as-heads';
import { projectRotary } from './rotary-projections';

export interface DecodeProjections {
  /** Rotated and scaled, [B, K, G * L, R]. */
  queryRope: tf.Tensor4D;
  /** Scaled, [B, K, G * L, P]. */
  queryNope: tf.Tensor4D;
  /** Rotated, [B, L, K, R], for one token [B, K, 1, R]. */
  keyRope: tf.Tensor4D;
}

/**
 * Project, rotate and scale. Call it inside a tidy; every tensor of the result belongs to the caller.
 * @param rows the layer's input, [B * L, D].
 * @param scale of the queries.
 */
export function projectForDecode(
  rows: tf.Tensor2D,
  projections: Map<string, Projection>,
  keyName: string,
  shape: HeadShape,
  rotary: RotaryTable,
  scale: number,
): DecodeProjections {
  const { numKeyValueHeads } = shape;
  const { outFeatures } = projectionOf(projections, 'q_proj');
  if (takesHostRotary(rows.shape[0] * outFeatures, rotary, shape)) {
    const rawQuery = projectionOf(projections, 'q_proj').apply(rows) as tf.Tensor2D;
    const rawKey = projectionOf(projections, keyName).apply(rows) as tf.Tensor2D;
    return turnOnHost({ rawQuery, rawKey, ...rotary }, shape, scale);
  }
  const parts = projectRotary(rows, projections, keyName, shape, rotary);
  const scaled = (query: tf.Tensor4D) => queriesAsHeads(tf.mul(query, scale), numKeyValueHeads);
  return {
    queryRope: scaled(parts.queryRope),
    queryNope: scaled(parts.queryNope),
    keyRope: parts.keyRope,
  };
}
