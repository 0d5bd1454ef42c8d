/**
 * Send each token through the branch of its modality. Every branch runs on all tokens and a mask
 * chooses: on wasm a gather has no gradient, and masks keep the shapes static for a device.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PrefillStep } from '../step';
import type { Segment } from './attention';

/**
 * @param segments ['all'], or ['vision', 'text'].
 * @param branch computes [B, L, W] for all tokens as if they were of that segment.
 * @returns [B, L, W]. Branches without a token are not run.
 */
export function byModality(
  segments: readonly Segment[],
  step: PrefillStep,
  branch: (segment: Segment) => tf.Tensor,
): tf.Tensor {
  if (segments.length === 1) return branch(segments[0]!);
  const { vision } = step;
  if (!vision) return branch(step.only!);
  return tf.add(tf.mul(branch('vision'), vision), tf.mul(branch('text'), tf.sub(1, vision)));
}
