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
import { putValue, readValue } from './stored-value';

interface StoredStates {
  shape: [number, number, number];
  values: Float32Array;
}

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
  const { shape, values } = (await readValue(store, hidden)) as StoredStates;
  const expected = [inputs.batch, inputs.length, source.config.decoder.hiddenSize];
  if (shape.join() !== expected.join()) {
    throw new RangeError(`withShard: states must be [${expected}], got [${shape}].`);
  }
  const batch = await calibrationBatch(source, () => tf.tensor3d(values, shape), inputs);
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

/** @param states disposed. */
async function putStates(store: JobStore, states: tf.Tensor3D): Promise<ContentRef> {
  try {
    const values = (await states.data()) as Float32Array;
    return await putValue(store, { shape: states.shape, values } satisfies StoredStates);
  } finally {
    states.dispose();
  }
}
