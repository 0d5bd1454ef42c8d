/**
 * One test body, run on every backend that this machine has. The wasm and cpu backends are always
 * there (they come with npm); tensorflow and webgpu are visible skips where they are missing.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { afterAll, beforeAll, describe } from 'vitest';
import { onWebGpu } from './on-webgpu';
import { loadTensorFlow, tensorFlowMissing } from './tensorflow';
import { closeWebGpu, openWebGpu, webGpuMissing } from './webgpu';

export interface DescribeBackendsOptions {
  /** Run on webgpu too, where a body must not use `dataSync` and a software adapter is slow. */
  webgpu?: boolean;
}

type Body = (backend: string) => void;

const BACKENDS = ['wasm', 'cpu', 'tensorflow'] as const;

/**
 * Run `body` once per backend; inside, `tf.getBackend()` is that backend.
 * @param options may be left out.
 */
export function describeBackends(name: string, body: Body): void;
export function describeBackends(name: string, options: DescribeBackendsOptions, body: Body): void;
export function describeBackends(
  name: string,
  options: DescribeBackendsOptions | Body,
  body?: Body,
): void {
  if (typeof options === 'function') {
    describeBackends(name, {}, options);
    return;
  }
  for (const backend of BACKENDS) {
    const missing = backend === 'tensorflow' ? tensorFlowMissing() : undefined;
    if (missing !== undefined) {
      describe.skip(`${name} [${backend}: ${missing}]`, () => body!(backend));
      continue;
    }
    describe(`${name} [${backend}]`, () => {
      beforeAll(async () => {
        if (backend === 'tensorflow') loadTensorFlow();
        await tf.setBackend(backend);
        await tf.ready();
      });
      body!(backend);
    });
  }
  if (options.webgpu) describeWebGpu(name, () => body!('webgpu'));
}

/** Run `body` on webgpu alone. A test fails on any error that the device reports. */
export function describeWebGpu(name: string, body: () => void): void {
  const missing = webGpuMissing();
  if (missing !== undefined) {
    describe.skip(`${name} [webgpu: ${missing}]`, body);
    return;
  }
  describe(`${name} [webgpu]`, () => {
    onWebGpu(openWebGpu);
    afterAll(closeWebGpu);
    body();
  });
}
