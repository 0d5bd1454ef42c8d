/** States of a batch between two layers, as a content of a store, and back. */
import * as tf from '@tensorflow/tfjs-core';
import type { ContentRef, JobStore } from './job-store';
import { putValue, readValue } from './stored-value';

type Shape = [batch: number, length: number, width: number];

interface StoredStates {
  shape: Shape;
  values: Float32Array;
}

/** @param states [B, L, D], disposed. */
export async function putStates(store: JobStore, states: tf.Tensor3D): Promise<ContentRef> {
  try {
    const values = (await states.data()) as Float32Array;
    return await putValue(store, { shape: states.shape, values } satisfies StoredStates);
  } finally {
    states.dispose();
  }
}

/**
 * @returns [B, L, D], the caller's.
 * @throws RangeError for another shape than expected.
 */
export async function readStates(
  store: JobStore,
  ref: ContentRef,
  expected: Shape,
): Promise<tf.Tensor3D> {
  const { shape, values } = (await readValue(store, ref)) as StoredStates;
  if (shape.join() !== expected.join()) {
    throw new RangeError(`readStates: states must be [${expected}], got [${shape}].`);
  }
  return tf.tensor3d(values, shape);
}
