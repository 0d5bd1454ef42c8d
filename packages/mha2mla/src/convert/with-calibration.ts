import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import { type CalibrationBatch, disposeBatch } from './calibration-batch';
import { type EmbedCalibrationOptions, embedCalibration } from './embed-calibration';

/**
 * Embed calibration samples, for as long as `use` takes; without samples nothing is read.
 * @throws the signal's reason when aborted.
 */
export async function withCalibration<T>(
  source: VlmSource,
  samples: readonly ModelInputs[],
  options: EmbedCalibrationOptions,
  use: (batches: readonly CalibrationBatch[]) => Promise<T>,
): Promise<T> {
  const batches = samples.length === 0 ? [] : await embedCalibration(source, samples, options);
  try {
    return await use(batches);
  } finally {
    for (const batch of batches) disposeBatch(batch);
  }
}
