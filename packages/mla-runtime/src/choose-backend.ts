/**
 * Pick the best TensorFlow.js backend among those that the application has imported. Importing one
 * stays the application's choice; a library never does it.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Best first: TensorFlow's native library, WebGPU, wasm, plain JavaScript. */
const PREFERENCE = ['tensorflow', 'webgpu', 'wasm', 'cpu'] as const;
export type BackendName = (typeof PREFERENCE)[number];

/**
 * Make a backend the current one.
 * @param name a backend, or `auto` for the best that is registered and starts.
 * @returns the name of the backend in use.
 * @throws Error when it is not registered or does not start.
 */
export async function chooseBackend(name: BackendName | 'auto' = 'auto'): Promise<BackendName> {
  const candidates = name === 'auto' ? PREFERENCE : [name];
  for (const candidate of candidates) {
    if (tf.findBackendFactory(candidate) === null) continue;
    if (await tf.setBackend(candidate)) {
      await tf.ready();
      return candidate;
    }
  }
  throw new Error(
    `chooseBackend: expected one of ${candidates.join(', ')} to be registered, got none that starts. Import its package first, such as @tensorflow/tfjs-backend-wasm.`,
  );
}
