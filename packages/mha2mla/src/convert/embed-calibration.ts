import { lookupEmbeddings } from '@mha2mla/mla-runtime';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { type CalibrationBatch, calibrationBatch } from './calibration-batch';

/** Embed calibration samples; the vision tower and the embedding table are freed afterwards. */
export async function embedCalibration(
  source: VlmSource,
  samples: readonly ModelInputs[],
): Promise<CalibrationBatch[]> {
  const { family, config, weights } = source;
  const { vocabSize, hiddenSize } = config.decoder;
  const vision = await family.loadVision(config, weights);
  const shape: [number, number] = [vocabSize, hiddenSize];
  const table = tf.tensor2d(await weights.read('embed_tokens.weight', shape), shape);
  try {
    return samples.map((inputs) =>
      calibrationBatch(source, (ids, size) => lookupEmbeddings(table, ids, size), vision, inputs),
    );
  } finally {
    vision.dispose();
    table.dispose();
  }
}
