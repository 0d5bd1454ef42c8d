/** A shard's samples on their way through the layers, as contents of a store. */
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import {
  type CalibrationBatch,
  calibrationBatch,
  disposeBatch,
} from '../convert/calibration-batch';
import { withHidden } from '../convert/hidden-states';
import { withEmbedder } from '../convert/with-embedder';
import type { ContentRef, JobStore } from './job-store';
import { putStates, readStates } from './stored-states';
import { readValue } from './stored-value';

/** Samples at the first layer's input. */
export async function embedShard(
  store: JobStore,
  source: VlmSource,
  samples: ContentRef,
): Promise<ContentRef> {
  const inputs = (await readValue(store, samples)) as ModelInputs;
  const hidden = await withEmbedder(source, async (embed) => embed(inputs));
  return putStates(store, hidden);
}

/** Have a shard's samples at a layer's input while `use` runs. */
export async function withShard<T>(
  store: JobStore,
  source: VlmSource,
  { samples, hidden }: { samples: ContentRef; hidden: ContentRef },
  use: (batch: CalibrationBatch) => Promise<T>,
): Promise<T> {
  const inputs = (await readValue(store, samples)) as ModelInputs;
  const { batch: rows, length } = inputs;
  const states = await readStates(store, hidden, [rows, length, source.config.decoder.hiddenSize]);
  const batch = await calibrationBatch(source, () => states, inputs);
  try {
    return await use(batch);
  } finally {
    disposeBatch(batch);
  }
}

/** Store a shard's samples as they are now. */
export function storeShard(store: JobStore, { hidden }: CalibrationBatch): Promise<ContentRef> {
  return withHidden(hidden, (states) => putStates(store, tf.clone(states)));
}
