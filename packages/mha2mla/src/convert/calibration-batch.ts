/** Samples on their way through the layers: hidden states, and what a pass over them needs. */
import { type PrefillStep, prefillStep, rotaryAngles } from '@mha2mla/mla-runtime';
import {
  type EmbedTokens,
  embedInputs,
  type ModelInputs,
  prepareInputs,
  type VisionEncoder,
  type VlmSource,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';

export interface CalibrationBatch {
  /** Input of the next layer, [B, L, D]. */
  hidden: tf.Tensor3D;
  readonly step: PrefillStep;
  /** Angles of all pairs, [B * L * headDim / 2]. */
  readonly angles: { cos: Float32Array; sin: Float32Array };
}

/** Embed samples. The caller disposes the batch by {@link disposeBatch}. */
export function calibrationBatch(
  { family, config }: Pick<VlmSource, 'family' | 'config'>,
  embedTokens: EmbedTokens,
  vision: VisionEncoder,
  inputs: ModelInputs,
): CalibrationBatch {
  const { layout, positionIds } = prepareInputs(family, config, inputs);
  return {
    hidden: embedInputs(config, embedTokens, vision, inputs),
    step: prefillStep(layout, positionIds, config.decoder),
    angles: rotaryAngles(positionIds, inputs.batch * inputs.length, config.decoder),
  };
}

/** Replace the hidden states by the next layer's input. */
export function advanceBatch(batch: CalibrationBatch, next: tf.Tensor3D): void {
  batch.hidden.dispose();
  batch.hidden = next;
}

export function disposeBatch({ hidden, step }: CalibrationBatch): void {
  tf.dispose(hidden);
  step.dispose();
}
