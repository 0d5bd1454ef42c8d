import * as tf from '@tensorflow/tfjs-core';
import { bindingBytes } from './packed/device-matrix';
import { currentDevice } from './webgpu/device-failure';

/**
 * Where the memory of tfjs's wasm ends: "offset is out of bounds" of an address space of 4 GiB, less
 * what fragments. Packed matrices lie outside of it.
 */
const WASM_HEAP = 3.8e9;

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
    heapBytes: tf.getBackend() === 'wasm' ? WASM_HEAP : Number.POSITIVE_INFINITY,
    bufferBytes: device ? bindingBytes(device) : Number.POSITIVE_INFINITY,
  };
}
