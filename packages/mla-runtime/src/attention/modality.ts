/**
 * Send each token through the branch of its modality. Every branch runs on all tokens and a mask
 * chooses: on wasm a gather has no gradient, and masks keep the shapes static for a device.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PrefillStep } from '../step';
import type { Segment } from './attention';

/**
 * @param segments those that have tokens: one, or vision and text.
 * @param branch computes [B, L, W] for all tokens as if they were of that segment.
 * @returns [B, L, W].
 */
export function byModality(
  segments: readonly Segment[],
  { vision }: PrefillStep,
  branch: (segment: Segment) => tf.Tensor,
): tf.Tensor {
  if (segments.length === 1) return branch(segments[0]!);
  return tf.add(tf.mul(branch('vision'), vision!), tf.mul(branch('text'), tf.sub(1, vision!)));
}
