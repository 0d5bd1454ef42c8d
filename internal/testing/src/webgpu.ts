/**
 * WebGPU in tests: Dawn (npm `webgpu`) over a software Vulkan driver, that of Debian's chromium unless
 * VK_ICD_FILENAMES names another; with TEST_ADAPTER=default the machine's own. Where there is none its
 * tests are skipped, and fail where REQUIRE_WEBGPU=1 asks for it.
 *
 * The device has the default limits, so that a kernel that needs more fails here, and the features
 * that kernels may look for. Errors of WebGPU are events and zeros, never thrown: they are collected.
 */
import { existsSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'];
/** A variable, since the package's types clash with those that tfjs depends on. */
const DAWN = 'webgpu';

export interface TestWebGpu {
  gpu: GPU;
  adapter: GPUAdapter;
  device: GPUDevice;
  /** Messages of errors that nothing has caught since the last call. */
  takeErrors(): Promise<string[]>;
}

let opened: Promise<TestWebGpu> | undefined;

/** Why tests of the backend cannot run here; `undefined` when they can, or must. */
export function webGpuMissing(): string | undefined {
  if (process.env.REQUIRE_WEBGPU === '1' || process.platform !== 'linux') return undefined;
  if (process.env.VK_ICD_FILENAMES !== undefined || existsSync(SWIFTSHADER)) return undefined;
  return 'no Vulkan driver, install chromium and libvulkan1';
}

/** Have this process, and those that it starts, take the software driver, if it shall. */
export function nameDriver(): void {
  if (process.platform !== 'linux' || process.env.TEST_ADAPTER === 'default') return;
  process.env.VK_ICD_FILENAMES ??= SWIFTSHADER;
}

/** Open a device and register the backend `webgpu` over it, once a process. */
export function openWebGpu(): Promise<TestWebGpu> {
  opened ??= open();
  return opened;
}

/** Close what {@link openWebGpu} has opened; Node would not end before. */
export async function closeWebGpu(): Promise<void> {
  if (!opened) return;
  const { device } = await opened;
  opened = undefined;
  if (tf.findBackend('webgpu')) tf.removeBackend('webgpu');
  device.destroy();
  Reflect.deleteProperty(navigator, 'gpu');
}

async function open(): Promise<TestWebGpu> {
  nameDriver();
  const { create, globals } = await import(/* @vite-ignore */ DAWN);
  Object.assign(globalThis, globals);
  const gpu = create([]) as GPU;
  publish(gpu);
  const adapter = await gpu.requestAdapter();
  if (!adapter) {
    throw new Error(
      `openWebGpu: expected an adapter, got none from VK_ICD_FILENAMES=${process.env.VK_ICD_FILENAMES}. See webgpu.ts.`,
    );
  }
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
  });
  const errors: string[] = [];
  device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
  await registerBackend(device, adapter);
  const takeErrors = async () => {
    await device.queue.onSubmittedWorkDone();
    return errors.splice(0);
  };
  return { gpu, adapter, device, takeErrors };
}

/** Make `navigator.gpu` what it is in a page. Node 20 has no navigator, later ones have no gpu. */
function publish(gpu: GPU): void {
  if (!globalThis.navigator) {
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  }
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
}

async function registerBackend(device: GPUDevice, adapter: GPUAdapter): Promise<void> {
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  if (tf.findBackendFactory('webgpu')) tf.removeBackend('webgpu'); // its own, of fewer features
  const { info } = adapter as GPUAdapter & { info: GPUAdapterInfo };
  tf.registerBackend('webgpu', () => new WebGPUBackend(device, info));
  // Small ops would run on the processor, and not be tested.
  tf.env().set('WEBGPU_CPU_FORWARD', false);
}
