/**
 * One test body, run on every backend that this machine has. The wasm and cpu backends are always
 * there (they come with npm); the native one is a visible skip where it is not installed.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe } from 'vitest';
import { loadTensorFlow, tensorFlowMissing } from './tensorflow';

const BACKENDS = ['wasm', 'cpu', 'tensorflow'] as const;

/** Run `body` once per backend; inside, `tf.getBackend()` is that backend. */
export function describeBackends(name: string, body: (backend: string) => void): void {
  for (const backend of BACKENDS) {
    const missing = backend === 'tensorflow' ? tensorFlowMissing() : undefined;
    if (missing !== undefined) {
      describe.skip(`${name} [${backend}: ${missing}]`, () => body(backend));
      continue;
    }
    describe(`${name} [${backend}]`, () => {
      beforeAll(async () => {
        if (backend === 'tensorflow') loadTensorFlow();
        await tf.setBackend(backend);
        await tf.ready();
      });
      body(backend);
    });
  }
}
