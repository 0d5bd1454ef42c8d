/**
 * One test body, run on every backend that this machine has. The wasm and cpu backends are always
 * there (they come with npm); tensorflow and webgpu are visible skips where they are missing.
 */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { afterAll, describe } from 'vitest';
import { describeOver } from './describe-over';
import { onWebGpu } from './on-webgpu';
import { loadTensorFlow, tensorFlowMissing } from './tensorflow';
import { closeWebGpu, openWebGpu, webGpuMissing } from './webgpu';

export const describeBackends = describeOver(
  [
    { name: 'wasm' },
    { name: 'cpu' },
    { name: 'tensorflow', missing: tensorFlowMissing, load: loadTensorFlow },
  ],
  describeWebGpu,
);

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
