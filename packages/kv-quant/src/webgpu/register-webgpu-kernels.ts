/** The package's kernels for webgpu, registered on the first call of an op there. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { packAffine, unpackAffine } from './affine-programs';
import type { WebGpuBackend } from './webgpu-kernel';
import { concatWords, packHalf, unpackHalf } from './word-programs';

type Inputs = Record<string, tf.TensorInfo>;
type Kernel = (
  backend: WebGpuBackend,
  inputs: Inputs,
  attrs: unknown,
) => tf.TensorInfo | tf.TensorInfo[];

const KERNELS: Record<string, Kernel> = {
  PackAffine(backend, { x }, attrs) {
    const layout = attrs as PackedLayout;
    const { bits, words, groups } = layout;
    if (bits === 16) return [packHalf(backend, x!, layout)];
    const outer = x!.shape.slice(0, -1);
    return packAffine(backend, x!, layout, [
      [...outer, words],
      [...outer, groups],
    ]);
  },
  UnpackAffine(backend, { codes, params }, attrs) {
    const layout = attrs as PackedLayout;
    return params
      ? unpackAffine(backend, codes!, params, layout)
      : unpackHalf(backend, codes!, layout);
  },
  ConcatWords: (backend, { a, b }, attrs) =>
    concatWords(backend, a!, b!, (attrs as { axis: number }).axis),
};

/** Register the kernels that are not yet there. */
export function registerWebGpuKernels(): void {
  for (const [kernelName, run] of Object.entries(KERNELS)) {
    if (tf.getKernel(kernelName, 'webgpu')) continue;
    tf.registerKernel({
      kernelName,
      backendName: 'webgpu',
      kernelFunc: ({ inputs, attrs, backend }) =>
        run(backend as unknown as WebGpuBackend, inputs as Inputs, attrs),
    });
  }
}
