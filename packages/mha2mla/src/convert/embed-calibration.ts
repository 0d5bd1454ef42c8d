import { lookupEmbeddings, yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { type CalibrationBatch, calibrationBatch, disposeBatch } from './calibration-batch';
import type { KeepHidden } from './hidden-states';

export interface EmbedCalibrationOptions {
  signal?: AbortSignal;
  /** Where hidden states are kept. Default in memory. */
  keepHidden?: KeepHidden;
}

/**
 * Embed calibration samples; the vision tower and the embedding table are freed afterwards.
 * @returns batches that the caller disposes by {@link disposeBatch}.
 * @throws the signal's reason when aborted.
 */
export async function embedCalibration(
  source: VlmSource,
  samples: readonly ModelInputs[],
  { signal, keepHidden }: EmbedCalibrationOptions = {},
): Promise<CalibrationBatch[]> {
  const { family, config, weights } = source;
  const { vocabSize, hiddenSize } = config.decoder;
  const shape: [number, number] = [vocabSize, hiddenSize];
  const values = await weights.read('embed_tokens.weight', shape);
  const vision = await family.loadVision(config, weights);
  const table = tf.tensor2d(values, shape);
  const embed = (ids: Int32Array, size: readonly [number, number]) =>
    lookupEmbeddings(table, ids, size);
  const batches: CalibrationBatch[] = [];
  try {
    for (const inputs of samples) {
      signal?.throwIfAborted();
      batches.push(await calibrationBatch(source, embed, vision, inputs, keepHidden));
      await yieldToEventLoop();
    }
    return batches;
  } catch (error) {
    for (const batch of batches) disposeBatch(batch);
    throw error;
  } finally {
    vision.dispose();
    table.dispose();
  }
}
