import { tensorFlowMissing } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test, vi } from 'vitest';
import { importTensorFlow } from './import-tensorflow';
import { importWebGpu } from './import-webgpu';
import { useBackend } from './register-backends';

vi.mock('./import-tensorflow', { spy: true });
vi.mock('./import-webgpu', { spy: true });

const missing = tensorFlowMissing();
const why = missing === undefined ? '' : ` [tensorflow: ${missing}]`;

test.each(['cpu', 'wasm'] as const)('%s is made the current backend', async (name) => {
  expect(await useBackend(name)).toBe(name);
  expect(tf.getBackend()).toBe(name);
});

test('auto takes wasm where no native library is, and says which one does not load', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  vi.mocked(importTensorFlow).mockResolvedValueOnce({ broken: [], cause: undefined });
  expect(await useBackend()).toBe('wasm');
  expect(warn).not.toHaveBeenCalled();
  vi.mocked(importTensorFlow).mockResolvedValueOnce({ broken: ['x fails'], cause: new Error('f') });
  expect(await useBackend()).toBe('wasm');
  expect(warn.mock.calls).toEqual([['x fails. Running without it.']]);
  warn.mockRestore();
});

test('tensorflow is refused where its package is missing, and the current backend stays', async () => {
  await useBackend('cpu');
  vi.mocked(importTensorFlow).mockResolvedValueOnce({ broken: [], cause: undefined });
  await expect(useBackend('tensorflow')).rejects.toThrow(
    /tensorflow needs @tensorflow\/tfjs-node or .* got neither. Run npm install @tensorflow\/tfjs-node/,
  );
  vi.mocked(importTensorFlow).mockResolvedValueOnce({ broken: ['x fails'], cause: new Error('f') });
  await expect(useBackend('tensorflow')).rejects.toThrow(/got x fails. Run npm install/);
  expect(tf.getBackend()).toBe('cpu');
});

test('webgpu is refused where a package is missing, and the current backend stays', async () => {
  await useBackend('cpu');
  const missing = () => importWebGpu(['@mha2mla/absent', '@tensorflow/tfjs-core']);
  vi.mocked(importWebGpu).mockImplementationOnce(missing);
  await expect(useBackend('webgpu')).rejects.toThrow(
    /webgpu needs webgpu and @tensorflow\/tfjs-backend-webgpu installed, got an error from @mha2mla\/absent. Run npm install/,
  );
  expect(tf.getBackend()).toBe('cpu');
});

// Last: once its backend is registered, nothing takes it back.
test.skipIf(missing)(
  `tensorflow is found by name, and before all others by auto${why}`,
  async () => {
    expect(await useBackend('tensorflow')).toBe('tensorflow');
    await useBackend('cpu');
    expect(await useBackend()).toBe('tensorflow');
    const product = tf.matMul(tf.ones([2, 3]), tf.ones([3, 1]));
    expect([...(await product.data())]).toEqual([3, 3]);
    product.dispose();
  },
);
