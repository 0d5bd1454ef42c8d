/** What tests of kernels use of this package, for a page: its own WebGPU takes the place of Dawn. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { onWebGpu } from '../on-webgpu';
import type { TestWebGpu } from '../webgpu';
import { describe } from './vitest';

export { expectClose } from '../expect-close';
export { expectNoLeak } from '../no-leak';
export { gaussian } from '../random';

// Before a file that is imported later computes anything.
setWasmPaths('/wasm/');

const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'];
let opened: Promise<TestWebGpu> | undefined;

export function openWebGpu(): Promise<TestWebGpu> {
  opened ??= open();
  return opened;
}

export function describeWebGpu(name: string, body: () => void): void {
  describe(`${name} [webgpu]`, () => {
    onWebGpu(openWebGpu);
    body();
  });
}

/** Other backends have no kernels that are a page's own. */
export function describeBackends(
  name: string,
  options: { webgpu?: boolean },
  body: (backend: string) => void,
): void {
  if (options.webgpu) describeWebGpu(name, () => body('webgpu'));
}

/** A device of the default limits; see ../webgpu.ts. */
async function open(): Promise<TestWebGpu> {
  const { gpu } = navigator;
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('openWebGpu: expected an adapter, got none from Chromium.');
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
  });
  const errors: string[] = [];
  device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
  if (tf.findBackendFactory('webgpu')) tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => new WebGPUBackend(device));
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const takeErrors = async () => {
    await device.queue.onSubmittedWorkDone();
    return errors.splice(0);
  };
  return { gpu, adapter, device, takeErrors };
}
