import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, expect } from 'vitest';
import type { TestWebGpu } from './webgpu';

/** Have the tests of a suite run on webgpu, here or in a page; one fails on any error of the device. */
export function onWebGpu(open: () => Promise<TestWebGpu>): void {
  beforeAll(async () => {
    await open();
    await tf.setBackend('webgpu');
  });
  afterEach(async () => {
    const { takeErrors } = await open();
    expect(await takeErrors(), 'errors of the device').toEqual([]);
  });
}
