/**
 * One test body, run on every backend that this machine has. The wasm and cpu backends are always
 * there (they come with npm), so none of them is ever skipped.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe } from 'vitest';

const BACKENDS = ['wasm', 'cpu'] as const;

/** Run `body` once per backend; inside, `tf.getBackend()` is that backend. */
export function describeBackends(name: string, body: (backend: string) => void): void {
  describe.each(BACKENDS)(`${name} [%s]`, (backend) => {
    beforeAll(async () => {
      await tf.setBackend(backend);
      await tf.ready();
    });
    body(backend);
  });
}
