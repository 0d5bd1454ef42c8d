import { type DecoderLayer, yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { CalibrationBatch } from './calibration-batch';
import { type LatentRows, prefillKeepingLatents } from './fit-latents';
import { withHidden } from './hidden-states';

/**
 * Bring samples to the next layer's input.
 * @param rows where latents that the layer would cache are kept, if they are wanted.
 * @throws the signal's reason when aborted.
 */
export async function runThroughLayer(
  layer: DecoderLayer,
  batches: readonly CalibrationBatch[],
  { rows, signal }: { rows?: LatentRows; signal?: AbortSignal },
): Promise<void> {
  for (const { hidden, step } of batches) {
    await yieldToEventLoop();
    signal?.throwIfAborted();
    await withHidden(hidden, async (states) => {
      const output = rows
        ? await prefillKeepingLatents(layer, states, step, { rows, batches: batches.length })
        : layer.prefill(states, step);
      await hidden.write(output);
    });
  }
}
