/** WebGPU, and wasm behind it, whose files the page serves itself. */
import { registerWebGpu } from '@mha2mla/mla-runtime';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import plain from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-simd.wasm?url';
import threaded from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.wasm?url';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';

export async function registerBackends(): Promise<void> {
  setWasmPaths({
    'tfjs-backend-wasm.wasm': plain,
    'tfjs-backend-wasm-simd.wasm': simd,
    'tfjs-backend-wasm-threaded-simd.wasm': threaded,
  });
  // An adapter in software is taken by its name only; 'auto' passes over it.
  const device = await registerWebGpu(WebGPUBackend, { software: true });
  // TensorFlow.js registers its own, which fails where there is no adapter.
  if (!device && tf.findBackendFactory('webgpu')) tf.removeBackend('webgpu');
}
