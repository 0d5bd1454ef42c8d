/** This package in a page: its own WebGPU takes the place of Dawn, and files are fetched. */
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { afterAll, describe } from 'vitest';
import { describeOver } from '../describe-over';
import { onWebGpu } from '../on-webgpu';
import { closeWebGpu, openWebGpu } from './webgpu';

export { expectClose } from '../expect-close';
export { type FuzzBytesOptions, type FuzzOptions, fuzz, fuzzBytes, fuzzJson } from '../fuzz/fuzz';
export { joinSafetensors, splitSafetensors } from '../fuzz/safetensors-parts';
export { expectNoLeak } from '../no-leak';
export { gaussian } from '../random';
export { type FixtureTensor, readSafetensors } from '../read-safetensors';
export { openWebGpu };

// Before a file that is imported later computes anything.
setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/wasm-out/');

/** The address of a file of the repository, which the server of the tests has. */
export function fixture(path: string): string {
  return `/${path}`;
}

export const describeBackends = describeOver([{ name: 'wasm' }, { name: 'cpu' }], describeWebGpu);

export function describeWebGpu(name: string, body: () => void): void {
  describe(`${name} [webgpu]`, () => {
    onWebGpu(openWebGpu);
    afterAll(closeWebGpu);
    body();
  });
}
