import * as tf from '@tensorflow/tfjs-core';
import { packedMatMul } from '../kernels/packed-mat-mul';
import { packedRows } from '../kernels/packed-rows';
import { submitPending, throwFailure, watchDevice } from '../webgpu/device-failure';
import { rowSizes } from '../webgpu/weight-format';
import type { MatrixShape, PackedMatrix } from './packed-matrix';

/** Some rows of a matrix, in buffers that fit into a binding. */
export interface DevicePart {
  /** Number of its first row. */
  first: number;
  outputs: number;
  /** [outputs, words a row], bits of which i32 is only the name. */
  words: tf.Tensor2D;
  /** [outputs, groups], of int8 and int4; bits as well where they hold zero points. */
  scales?: tf.Tensor2D;
  /** Buffers of words and scales. */
  buffers: readonly GPUBuffer[];
}

export interface DeviceMatrix extends PackedMatrix {
  readonly device: GPUDevice;
  readonly parts: readonly DevicePart[];
}

/**
 * A packed matrix in buffers of the device, cut by rows where one would not fit into a binding.
 * @param largestBytes of a buffer; default what the device allows.
 */
export function deviceMatrix(
  device: GPUDevice,
  shape: MatrixShape,
  largestBytes = bindingBytes(device),
): DeviceMatrix {
  const { outputs } = shape;
  const row = rowSizes(shape);
  const widths = row.scales > 0 ? [row.words, row.scales] : [row.words];
  watchDevice(device);
  const most = Math.max(1, Math.floor(largestBytes / (4 * Math.max(...widths))));
  const parts: DevicePart[] = [];
  for (let first = 0; first < outputs; first += most) {
    parts.push(devicePart(device, first, Math.min(most, outputs - first), widths, shape));
  }
  return {
    ...shape,
    device,
    parts,
    sizeBytes: 4 * outputs * (row.words + row.scales),
    async write(first, rows) {
      const sources = [rows.words, rows.scales];
      for (const part of parts) {
        const [from, to] = [
          Math.max(first, part.first),
          Math.min(first + rows.outputs, part.first + part.outputs),
        ];
        for (const [i, buffer] of from < to ? part.buffers.entries() : []) {
          const [width, source] = [widths[i]!, sources[i]!];
          const piece = source.subarray((from - first) * width, (to - first) * width);
          device.queue.writeBuffer(buffer, 4 * (from - part.first) * width, piece);
        }
      }
      // Else copies that wait for the device add up to a second model.
      await device.queue.onSubmittedWorkDone();
      throwFailure(device);
    },
    multiply: (x) =>
      tf.tidy(() => {
        const products = parts.map((part) => packedMatMul(x, part, shape)); // [M, outputs] each
        return products.length === 1 ? products[0]! : tf.concat(products, 1);
      }),
    rows: (ids) =>
      tf.tidy(() => {
        const numbers = tf.tensor1d(ids, 'int32');
        const found = parts.map((part) => packedRows(numbers, part, shape)); // zeros of other parts
        return found.length === 1 ? found[0]! : tf.addN(found);
      }),
    dispose: () => {
      submitPending(device);
      for (const { words, scales, buffers } of parts) {
        tf.dispose([words, ...(scales ? [scales] : [])]);
        for (const buffer of buffers) buffer.destroy();
      }
    },
  };
}

/** What a buffer may hold that a kernel reads. */
export function bindingBytes({ limits }: GPUDevice): number {
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}

/** @param widths words of a row in each buffer. */
function devicePart(
  device: GPUDevice,
  first: number,
  outputs: number,
  widths: readonly number[],
  { zeroPoints }: MatrixShape,
): DevicePart {
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const usage = STORAGE | COPY_SRC | COPY_DST;
  const buffers = widths.map((width) => device.createBuffer({ size: 4 * outputs * width, usage }));
  const [words, scales] = buffers.map((buffer, i) =>
    tf.tensor<tf.Rank.R2>(
      { buffer, zeroCopy: true },
      [outputs, widths[i]!],
      i === 0 || zeroPoints ? 'int32' : 'float32',
    ),
  );
  return { first, outputs, words: words!, ...(scales && { scales }), buffers };
}
