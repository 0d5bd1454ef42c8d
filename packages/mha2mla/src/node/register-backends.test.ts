import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { useBackend } from './register-backends';

test.each(['cpu', 'wasm'] as const)('%s is made the current backend', async (name) => {
  expect(await useBackend(name)).toBe(name);
  expect(tf.getBackend()).toBe(name);
});

test('auto takes one that starts', async () => {
  expect(await useBackend()).toBe(tf.getBackend());
});

test('a backend that is not there is refused, and the current one stays', async () => {
  await useBackend('cpu');
  await expect(useBackend('webgpu')).rejects.toThrow(/expected one of webgpu .* got none/);
  expect(tf.getBackend()).toBe('cpu');
});
