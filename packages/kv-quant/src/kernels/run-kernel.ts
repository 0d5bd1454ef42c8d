/**
 * Dispatch of the package's kernels: by name and backend through the registry, else the composed
 * twin. A twin needs int32 tensors that keep all their bits. WebGPU and WebGL pass them through f32
 * even to copy them (words above 2^24 come out wrong), so there a missing kernel is an error.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Backends whose int32 ops are integer arithmetic, or that have the host kernels. */
const KEEP_INT32: readonly string[] = ['cpu', 'wasm', 'tensorflow'];

export function runKernel(
  kernelName: string,
  inputs: tf.NamedTensorMap,
  attrs: tf.NamedAttrMap,
  reference: () => tf.Tensor[],
): tf.Tensor[] {
  const backend = tf.getBackend();
  if (tf.getKernel(kernelName, backend)) {
    const outputs = tf.engine().runKernel(kernelName, inputs, attrs) as tf.Tensor | tf.Tensor[];
    return Array.isArray(outputs) ? outputs : [outputs];
  }
  if (!KEEP_INT32.includes(backend)) {
    throw new Error(
      `kv-quant: kernel ${kernelName} must be registered for a backend whose int32 ops are not exact, got backend=${backend}. Register it with tf.registerKernel, or use wasm, cpu or tensorflow.`,
    );
  }
  return tf.tidy(reference);
}
