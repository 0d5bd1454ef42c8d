/** WebGPU of a page in tests: a device of the default limits; see ../webgpu.ts. */
import * as tf from '@tensorflow/tfjs-core';
import type { TestWebGpu } from '../webgpu';

const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'];
let opened: Promise<TestWebGpu> | undefined;

export function openWebGpu(): Promise<TestWebGpu> {
  opened ??= open();
  return opened;
}

export async function closeWebGpu(): Promise<void> {
  if (!opened) return;
  const { device } = await opened;
  opened = undefined;
  tf.removeBackend('webgpu');
  device.destroy();
}

async function open(): Promise<TestWebGpu> {
  const { gpu } = navigator;
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('openWebGpu: expected an adapter, got none from Chromium.');
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
  });
  const errors: string[] = [];
  device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  if (tf.findBackendFactory('webgpu')) tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => new WebGPUBackend(device));
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const takeErrors = async () => {
    await device.queue.onSubmittedWorkDone();
    return errors.splice(0);
  };
  return { gpu, adapter, device, takeErrors };
}
