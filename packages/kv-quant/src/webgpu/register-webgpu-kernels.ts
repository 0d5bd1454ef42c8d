/** The package's kernels for webgpu, registered on the first call of an op there. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { packAffine, unpackAffine } from './affine-programs';
import { packInt8, unpackInt8 } from './int8-programs';
import { packLloydMax, unpackLloydMax } from './lloyd-max-programs';
import { packStatic, unpackStatic } from './static-programs';
import type { WebGpuBackend } from './webgpu-kernel';
import { concatWords, packHalf, sliceWords, unpackHalf, type WordRange } from './word-programs';

type Inputs = Record<string, tf.TensorInfo>;
type Kernel = (
  backend: WebGpuBackend,
  inputs: Inputs,
  attrs: unknown,
) => tf.TensorInfo | tf.TensorInfo[];

const KERNELS: Record<string, Kernel> = {
  PackAffine: (backend, { x }, attrs) => packAffine(backend, x!, attrs as PackedLayout),
  UnpackAffine: (backend, { codes, params }, attrs) =>
    unpackAffine(backend, codes!, params!, attrs as PackedLayout),
  PackHqq: (backend, { x }, attrs) => packAffine(backend, x!, attrs as PackedLayout),
  PackInt8: (backend, { x }, attrs) => packInt8(backend, x!, attrs as PackedLayout),
  UnpackInt8: (backend, { codes, params }, attrs) =>
    unpackInt8(backend, codes!, params!, attrs as PackedLayout),
  PackLloydMax: (backend, { x }, attrs) => packLloydMax(backend, x!, attrs as PackedLayout),
  UnpackLloydMax: (backend, { codes, params }, attrs) =>
    unpackLloydMax(backend, codes!, params!, attrs as PackedLayout),
  PackStatic: (backend, { x }, attrs) => packStatic(backend, x!, attrs as PackedLayout),
  UnpackStatic: (backend, { codes }, attrs) => unpackStatic(backend, codes!, attrs as PackedLayout),
  PackHalf: (backend, { x }, attrs) => packHalf(backend, x!, attrs as PackedLayout),
  UnpackHalf: (backend, { codes }, attrs) => unpackHalf(backend, codes!, attrs as PackedLayout),
  ConcatWords: (backend, { a, b }, attrs) =>
    concatWords(backend, a!, b!, (attrs as { axis: number }).axis),
  SliceWords: (backend, { x }, attrs) => sliceWords(backend, x!, attrs as WordRange),
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
