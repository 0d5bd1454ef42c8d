/**
 * WebGPU with a device of our own: the factory that TensorFlow.js registers asks for none of the
 * features that kernels here look for, and takes a software adapter without a word.
 */
import * as tf from '@tensorflow/tfjs-core';
import { watchDevice } from './device-failure';
import { isSoftwareAdapter } from './is-software-adapter';

/** Options of `registerWebGpu`. */
export interface RegisterWebGpuOptions {
  /** Where to look for an adapter. Default `navigator.gpu`; in Node, what Dawn creates. */
  gpu?: GPU;
  /** Take an adapter that runs on the processor: right, but slower than wasm. Default false. */
  software?: boolean;
}

/** `WebGPUBackend` of `@tensorflow/tfjs-backend-webgpu`, which the application imports. */
export type WebGpuBackendClass = new (device: GPUDevice, info?: GPUAdapterInfo) => tf.KernelBackend;

/** Asked for where the adapter has them. Kernels work without. */
const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'];

/** Raised to what the adapter has: large weights and caches are single buffers where they may be. */
const LIMITS = ['maxBufferSize', 'maxStorageBufferBindingSize'] as const;

/**
 * Open a device and register the backend `webgpu` over it, in the place of one that is registered
 * already. Make it the current one with `chooseBackend` or `tf.setBackend`.
 * @returns the device, or `undefined` where there is no adapter that would do. `tf.removeBackend`
 * frees the backend, and `device.destroy()` the device, without which Node does not end.
 */
export async function registerWebGpu(
  WebGPUBackend: WebGpuBackendClass,
  { gpu = globalThis.navigator?.gpu, software = false }: RegisterWebGpuOptions = {},
): Promise<GPUDevice | undefined> {
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return undefined;
  const { info } = adapter as GPUAdapter & { info: GPUAdapterInfo };
  if (isSoftwareAdapter(info) && !software) return undefined;
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  watchDevice(device);
  if (tf.findBackendFactory('webgpu')) tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => new WebGPUBackend(device, info), 3); // tfjs's own priority
  return device;
}
