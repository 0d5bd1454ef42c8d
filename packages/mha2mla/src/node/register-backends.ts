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
  if (choice === 'auto') await importTensorFlow().catch(() => {}); // an optional peer
  if (choice === 'tensorflow') await importTensorFlow();
  await import('@tensorflow/tfjs-backend-wasm');
  await import('@tensorflow/tfjs-backend-cpu');
  return chooseBackend(choice);
}

const NATIVE = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/** TensorFlow's native library, where the user has installed it: the GPU's before the CPU's. */
async function importTensorFlow(): Promise<void> {
  let cause: unknown;
  for (const name of NATIVE) {
    try {
      await import(name);
      return;
    } catch (error) {
      cause = error;
    }
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new Error(
    `useBackend: tensorflow needs ${NATIVE.join(' or ')}, got none that loads: ${why}. Install one of them, or choose another backend.`,
    { cause },
  );
}
