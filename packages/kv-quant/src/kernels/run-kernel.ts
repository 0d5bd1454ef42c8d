/**
 * Dispatch of the package's kernels, by name and backend through the registry. There is no path
 * without a kernel: ops of WebGPU and WebGL pass int32 tensors through f32 even to copy them, so the
 * composed twins come out wrong there for words above 2^24.
 */
import * as tf from '@tensorflow/tfjs-core';
import { registerWebGpuKernels } from '../webgpu/register-webgpu-kernels';

/** @throws Error if the backend in use has no such kernel. */
export function runKernel(
  kernelName: string,
  inputs: tf.NamedTensorMap,
  attrs: tf.NamedAttrMap,
): tf.Tensor[] {
  const backend = tf.getBackend();
  if (backend === 'webgpu') registerWebGpuKernels();
  if (!tf.getKernel(kernelName, backend)) {
    throw new Error(
      `kv-quant: kernel ${kernelName} must be registered for the backend, got backend=${backend}. Register it with tf.registerKernel, or use wasm, cpu or tensorflow.`,
    );
  }
  const outputs = tf.engine().runKernel(kernelName, inputs, attrs) as tf.Tensor | tf.Tensor[];
  return Array.isArray(outputs) ? outputs : [outputs];
}
