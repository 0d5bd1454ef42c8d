import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/**
 * Run `body` twice and fail unless the second run leaves as many tensors as it found. (The first
 * run may build tables that are kept on purpose.) What `body` returns must be disposed in it.
 */
export async function expectNoLeak(body: () => Promise<void> | void): Promise<void> {
  await body();
  const before = tf.memory().numTensors;
  await body();
  expect(tf.memory().numTensors - before, 'tensors left behind').toBe(0);
}
