/** Import the TensorFlow.js backends that a run may use; an application's choice, made here. */
import { setFlagsFromString } from 'node:v8';
import { chooseBackend } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { importTensorFlow } from './import-tensorflow';
import { importWebGpu } from './import-webgpu';

/** What `useBackend` may be asked for. */
export const BACKENDS = ['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'] as const;
/** A member of `BACKENDS`. */
export type BackendChoice = (typeof BACKENDS)[number];

/**
 * Make a backend the current one. With `auto` that is tensorflow where one of its packages is
 * installed, else wasm; one that is installed and does not load is warned about. `webgpu` is taken by
 * its name alone, and holds the process until that exits. In Node 20 relaxed SIMD is allowed, which later
 * versions have on: our loops over a cache take up to a fifth less time.
 * @returns its name.
 * @throws Error when the choice is not installed or does not start.
 */
export async function useBackend(choice: BackendChoice = 'auto'): Promise<string> {
  // Its warnings are about development builds and would mix with results.
  tf.enableProdMode();
  if (process.version.startsWith('v20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');
  if (choice === 'auto' || choice === 'tensorflow') await registerTensorFlow(choice);
  if (choice === 'webgpu' && !tf.findBackendFactory('webgpu')) await importWebGpu();
  await import('@tensorflow/tfjs-backend-wasm');
  await import('@tensorflow/tfjs-backend-cpu');
  return chooseBackend(choice);
}

async function registerTensorFlow(choice: 'auto' | 'tensorflow'): Promise<void> {
  const missing = await importTensorFlow();
  if (missing === undefined) return;
  const { broken, cause } = missing;
  if (choice === 'auto') {
    for (const why of broken) process.emitWarning(`${why}. Running without it.`);
    return;
  }
  const got = broken.length > 0 ? broken.join('; ') : 'neither';
  throw new Error(
    `useBackend: tensorflow needs @tensorflow/tfjs-node or @tensorflow/tfjs-node-gpu installed, got ${got}. Run npm install @tensorflow/tfjs-node, or choose another backend.`,
    { cause },
  );
}
