import { type DecoderLayer, yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { CalibrationBatch } from './calibration-batch';
import { type LatentRows, prefillKeepingLatents } from './fit-latents';
import { withHidden } from './hidden-states';

export interface RunThroughOptions {
  /** Where latents that the layer would cache are kept, if they are wanted. */
  rows?: LatentRows;
  /** Batches that share what is kept. Default these. */
  total?: number;
  signal?: AbortSignal;
}

/**
 * Bring samples to the next layer's input.
 * @throws the signal's reason when aborted.
 */
export async function runThroughLayer(
  layer: DecoderLayer,
  batches: readonly CalibrationBatch[],
  { rows, total = batches.length, signal }: RunThroughOptions,
): Promise<void> {
  for (const { hidden, step } of batches) {
    await yieldToEventLoop();
    signal?.throwIfAborted();
    await withHidden(hidden, async (states) => {
      const output = rows
        ? await prefillKeepingLatents(layer, states, step, { rows, batches: total })
        : layer.prefill(states, step);
      await hidden.write(output);
    });
  }
}
