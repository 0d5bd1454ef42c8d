import * as tf from '@tensorflow/tfjs-core';

/** Whether the backend in use is TensorFlow's library without a graphics processor. */
export function isTensorFlowOnProcessor(): boolean {
  return tf.getBackend() === 'tensorflow' && !usesDevice();
}

/** Whether values of the backend in use are at hand to this process. */
export function isOnProcessor(): boolean {
  return ['wasm', 'cpu', 'tensorflow'].includes(tf.getBackend()) && !usesDevice();
}

function usesDevice(): boolean {
  return (tf.backend() as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true;
}
