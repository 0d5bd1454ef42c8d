import '@mha2mla/testing'; // registers wasm and cpu
import * as tf from '@tensorflow/tfjs-core';
import { expect, test, vi } from 'vitest';
import { chooseBackend } from './choose-backend';

test('auto picks wasm over cpu', async () => {
  expect(await chooseBackend()).toBe('wasm');
  expect(tf.getBackend()).toBe('wasm');
});

test('a name picks that backend', async () => {
  expect(await chooseBackend('cpu')).toBe('cpu');
  expect(tf.getBackend()).toBe('cpu');
});

test('a backend that nothing has registered is refused by name, and the old one stays', async () => {
  await chooseBackend('cpu');
  await expect(chooseBackend('webgpu')).rejects.toThrow(
    /expected one of webgpu .* Import its package/,
  );
  expect(tf.getBackend()).toBe('cpu');
});

test('auto passes over a backend that does not start', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {}); // tfjs says so, loudly
  tf.registerBackend('webgpu', () => {
    throw new Error('no adapter');
  });
  try {
    expect(await chooseBackend()).toBe('wasm');
  } finally {
    tf.removeBackend('webgpu');
    warn.mockRestore();
  }
});

test('asked for at once, each gets a backend that takes time to start', async () => {
  const cpu = tf.findBackendFactory('cpu')!;
  tf.registerBackend('webgpu', async () => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return cpu() as tf.KernelBackend;
  });
  try {
    expect(await Promise.all([1, 2].map(() => chooseBackend('webgpu')))).toEqual(
      Array(2).fill('webgpu'),
    );
  } finally {
    await chooseBackend('cpu');
    tf.removeBackend('webgpu');
  }
});
