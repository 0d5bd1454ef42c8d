import { yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import { type CalibrationBatch, calibrationBatch, disposeBatch } from './calibration-batch';
import type { KeepHidden } from './hidden-states';
import { withEmbedder } from './with-embedder';

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
  return withEmbedder(source, async (embed) => {
    const batches: CalibrationBatch[] = [];
    try {
      for (const inputs of samples) {
        signal?.throwIfAborted();
        batches.push(await calibrationBatch(source, embed, inputs, keepHidden));
        await yieldToEventLoop();
      }
      return batches;
    } catch (error) {
      for (const batch of batches) disposeBatch(batch);
      throw error;
    }
  });
}
