/** Weights of a matrix-vector product as buffers to bind, those that are packed already as they are. */
import * as tf from '@tensorflow/tfjs-core';
import type { DeviceMatrix } from '../packed/device-matrix';
import { isPacked } from '../packed/packed-projection';
import type { Projection } from '../projection';
import type { DeviceBuffers } from './device-buffers';
import { readAndDispose } from './device-failure';
import { isSameForm, type PackedForm, packWeight, type WeightFormat } from './weight-format';

export interface WeightParts extends PackedForm {
  /** Rows of outputs from `first` on: words, then scales where the format has some. */
  parts: readonly { first: number; outputs: number; buffers: readonly GPUBuffer[] }[];
}

/**
 * @param maps of one input, whose outputs stand side by side.
 * @param packing of those that are dense; packed ones keep theirs.
 */
export async function weightParts(
  buffers: DeviceBuffers,
  maps: readonly Projection[],
  packing: { weights: WeightFormat; groupSize: number },
): Promise<WeightParts> {
  const filled = maps.filter((map) => map.outFeatures > 0);
  const matrices = filled.flatMap((map) => (isPacked(map) ? [map.matrix as DeviceMatrix] : []));
  const [first] = matrices;
  const alike = matrices.every(
    (matrix) => matrix.device === buffers.device && isSameForm(matrix, first!),
  );
  if (!first || matrices.length < filled.length || !alike) {
    return packDense(buffers, filled, packing);
  }
  const { format, groupSize, zeroPoints = false } = first;
  const parts = matrices.length === 1 ? first.parts : [joinParts(buffers, matrices)];
  return { format, groupSize, zeroPoints, parts };
}

/** Buffers of several matrices one after another, copied on the device. */
function joinParts(buffers: DeviceBuffers, matrices: readonly DeviceMatrix[]) {
  const all = matrices.flatMap(({ parts }) => parts);
  const encoder = buffers.device.createCommandEncoder();
  const joined = all[0]!.buffers.map((_, i) => {
    const sources = all.map((part) => part.buffers[i]!);
    const target = buffers.storage(sources.reduce((sum, { size }) => sum + size, 0) / 4);
    let at = 0;
    for (const source of sources) {
      encoder.copyBufferToBuffer(source, 0, target, at, source.size);
      at += source.size;
    }
    return target;
  });
  buffers.device.queue.submit([encoder.finish()]);
  const outputs = matrices.reduce((sum, matrix) => sum + matrix.outputs, 0);
  return { first: 0, outputs, buffers: joined };
}

/** Maps in one form of their own, whatever they are kept in. */
export async function packDense(
  buffers: DeviceBuffers,
  maps: readonly Projection[],
  { weights: format, groupSize }: { weights: WeightFormat; groupSize: number },
): Promise<WeightParts> {
  const rows = tf.tidy(() => {
    const weights = maps.map((map) => map.weight()); // [I, O] each
    return tf.transpose(weights.length === 1 ? weights[0]! : tf.concat(weights, 1));
  });
  const [outputs, inputs] = rows.shape as [number, number];
  const values = await readAndDispose(rows);
  const { words, scales } = packWeight(values, [outputs, inputs], format, groupSize);
  const own = [words, scales].filter((part) => part.length > 0);
  const part = { first: 0, outputs, buffers: own.map((part) => buffers.upload(part)) };
  return { format, groupSize, parts: [part] };
}
