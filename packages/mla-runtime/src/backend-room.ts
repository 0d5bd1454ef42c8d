import * as tf from '@tensorflow/tfjs-core';
import { bindingBytes } from './packed/device-matrix';
import { WASM_HEAP_BYTES } from './wasm-heap-bytes';
import { currentDevice } from './webgpu/device-failure';

/** Limits of a backend's memory. */
export interface BackendRoom {
  /** Bytes of all tensors together; infinite where nothing is known. */
  heapBytes: number;
  /** Bytes of a tensor; infinite where nothing is known. */
  bufferBytes: number;
}

/** What the backend in use holds, as far as it says. */
export function backendRoom(): BackendRoom {
  const device = currentDevice();
  return {
    heapBytes: tf.getBackend() === 'wasm' ? WASM_HEAP_BYTES : Number.POSITIVE_INFINITY,
    bufferBytes: device ? bindingBytes(device) : Number.POSITIVE_INFINITY,
  };
}
