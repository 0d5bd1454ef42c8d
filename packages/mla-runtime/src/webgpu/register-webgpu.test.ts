import { describeWebGpu, openWebGpu } from '@mha2mla/testing';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, expect, test } from 'vitest';
import { chooseBackend } from '../choose-backend';
import { readValues } from './device-failure';
import { isSoftwareAdapter } from './is-software-adapter';
import { registerWebGpu } from './register-webgpu';

describeWebGpu('registerWebGpu', () => {
  const devices: GPUDevice[] = [];

  afterEach(() => {
    for (const device of devices.splice(0)) device.destroy();
  });

  /** A backend over a device of its own, whose errors no other test sees. */
  async function register(): Promise<GPUDevice> {
    const { gpu } = await openWebGpu();
    const device = (await registerWebGpu(WebGPUBackend, { gpu, software: true }))!;
    devices.push(device);
    await chooseBackend('webgpu');
    return device;
  }

  test('takes a software adapter when asked for, and gives no device otherwise', async () => {
    const { gpu, adapter } = await openWebGpu();
    expect(await registerWebGpu(WebGPUBackend, { gpu })).toBeUndefined();
    const device = await register();
    expect((tf.backend() as WebGPUBackend).device).toBe(device);
    for (const name of ['shader-f16', 'subgroups']) {
      expect(device.features.has(name)).toBe(adapter.features.has(name));
    }
    expect(device.limits.maxBufferSize).toBe(adapter.limits.maxBufferSize);
    const product = tf.matMul(tf.ones([2, 3]), tf.ones([3, 1]));
    expect([...(await readValues(product))]).toEqual([3, 3]);
    product.dispose();
  });

  test('auto passes over it, and its name takes it', async () => {
    await register();
    expect(await chooseBackend('auto')).not.toBe('webgpu');
    expect(await chooseBackend('webgpu')).toBe('webgpu');
  });

  test('no adapter gives no device', async () => {
    const none = { requestAdapter: async () => null } as unknown as GPU;
    expect(await registerWebGpu(WebGPUBackend, { gpu: none })).toBeUndefined();
    expect(await registerWebGpu(WebGPUBackend, { gpu: undefined })).toBeUndefined();
  });

  test('an invalid program is an error once its result is read, not zeros', async () => {
    const device = await register();
    const x = tf.ones([4]);
    device.createShaderModule({ code: 'fn broken( {' });
    await expect(readValues(tf.add(x, 1))).rejects.toThrow(
      /without errors.*GPUValidationError.*broken/s,
    );
    expect([...(await readValues(tf.add(x, 1)))]).toEqual([2, 2, 2, 2]);
  });

  test('a buffer beyond the limits is an error', async () => {
    const device = await register();
    const size = 8 * Math.ceil(device.limits.maxBufferSize / 4);
    device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
    await expect(readValues(tf.add(tf.ones([4]), 1))).rejects.toThrow(/GPU\w*Error/);
  });

  test('a lost device is an error to all who read, by its code', async () => {
    const device = await register();
    const x = tf.add(tf.ones([4]), 1);
    device.destroy();
    await device.lost;
    for (const _ of ['first', 'second']) {
      const failed = { code: 'device-lost', message: expect.stringMatching(/lost \(destroyed\)/) };
      await expect(readValues(x)).rejects.toMatchObject(failed);
    }
  });
});

test('software adapters are known by what they say of themselves', () => {
  const info = (fields: object) => fields as GPUAdapterInfo;
  expect(isSoftwareAdapter(info({ isFallbackAdapter: true }))).toBe(true);
  expect(isSoftwareAdapter(info({ vendor: 'google', architecture: 'swiftshader' }))).toBe(true);
  expect(isSoftwareAdapter(info({ description: 'llvmpipe: Mesa 25' }))).toBe(true);
  expect(isSoftwareAdapter(info({ vendor: 'nvidia', architecture: 'ampere' }))).toBe(false);
  expect(isSoftwareAdapter(undefined)).toBe(false);
});
