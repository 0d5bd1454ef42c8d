/**
 * A weight [outputs, inputs] that stays packed while it is used: on webgpu in buffers that kernels
 * read as they are, elsewhere in arrays of JavaScript (outside of wasm's heap), unpacked some rows at
 * a time for a product. It is filled row by row as it is loaded, so no second copy is ever held.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { currentDevice } from '../webgpu/device-failure';
import {
  type PackedForm,
  type PackedWeight,
  rowSizes,
  type WeightFormat,
} from '../webgpu/weight-format';
import { deviceMatrix } from './device-matrix';
import { hostMatrix } from './host-matrix';

/** How matrices are kept. */
export interface WeightPacking extends PackedForm {
  format: Exclude<WeightFormat, 'f32'>;
}

export interface MatrixShape extends WeightPacking {
  inputs: number;
  outputs: number;
}

export interface PackedMatrix extends Readonly<MatrixShape> {
  readonly sizeBytes: number;
  /** Put rows in their place, from `first` on. Resolves when the device has taken them. */
  write(first: number, rows: PackedWeight): Promise<void>;
  /** @param x [M, inputs]. @returns [M, outputs]; the caller disposes it. */
  multiply(x: tf.Tensor2D): tf.Tensor2D;
  /** Rows by their numbers, which must be in range. @returns [rows, inputs]; the caller disposes it. */
  rows(ids: Int32Array): tf.Tensor2D;
  /** Once is enough; more do nothing. */
  dispose(): void;
}

/** A matrix of zeros on the current backend, to be filled. */
export function packedMatrix(shape: MatrixShape): PackedMatrix {
  const device = currentDevice();
  return device ? deviceMatrix(device, shape) : hostMatrix(shape);
}

/** Bytes of a matrix in packed form. */
export function packedBytes(
  [outputs, inputs]: readonly [number, number],
  packing: WeightPacking,
): number {
  const { words, scales } = rowSizes({ ...packing, inputs });
  return 4 * outputs * (words + scales);
}
