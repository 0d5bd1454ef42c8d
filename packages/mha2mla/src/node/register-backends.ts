/** Import the TensorFlow.js backends that a run may use; an application's choice, made here. */
import { chooseBackend } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';

export const BACKENDS = ['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'] as const;
export type BackendChoice = (typeof BACKENDS)[number];

/**
 * Make a backend the current one.
 * @returns its name.
 * @throws Error when the choice is not installed or does not start.
 */
export async function useBackend(choice: BackendChoice = 'auto'): Promise<string> {
  // Its warnings are about development builds and would mix with results.
  tf.enableProdMode();
  if (choice === 'auto' || choice === 'tensorflow') await importTensorFlow();
  await import('@tensorflow/tfjs-backend-wasm');
  await import('@tensorflow/tfjs-backend-cpu');
  return chooseBackend(choice);
}

/** TensorFlow's native library, where the user has installed it: the GPU's before the CPU's. */
async function importTensorFlow(): Promise<void> {
  for (const name of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    try {
      await import(name);
      return;
    } catch {
      // Not installed: an optional peer.
    }
  }
}
