import * as tf from '@tensorflow/tfjs-core';
import type { Projection } from '../projection';
import { readAndDispose } from '../webgpu/device-failure';
import { loadMatrix } from './load-matrix';
import type { WeightPacking } from './packed-matrix';
import { packedProjection } from './packed-projection';

/**
 * A projection's packed form, which takes its place: `dense` is disposed, unless it has no weights and
 * is given back.
 */
export async function packProjection(
  dense: Projection,
  packing: WeightPacking,
): Promise<Projection> {
  const { inFeatures, outFeatures, bias } = dense;
  if (inFeatures * outFeatures === 0) return dense;
  const values = await readAndDispose(tf.tidy(() => tf.transpose(dense.weight())));
  const reader = { shape: () => undefined, read: async () => values };
  const matrix = await loadMatrix(reader, '', [outFeatures, inFeatures], packing);
  const packed = packedProjection(matrix, bias && tf.clone(bias));
  dense.dispose();
  return packed;
}
