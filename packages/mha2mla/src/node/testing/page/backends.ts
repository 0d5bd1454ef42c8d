import { registerWebGpu } from '@mha2mla/mla-runtime';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';

/** What an application does before it loads a model. */
export async function registerBackends(): Promise<void> {
  setWasmPaths('/wasm/');
  await registerWebGpu(WebGPUBackend, { software: true });
}
