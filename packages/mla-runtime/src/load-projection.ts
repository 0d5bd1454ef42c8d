import * as tf from '@tensorflow/tfjs-core';
import { denseProjection } from './dense-projection';
import { loadMatrix } from './packed/load-matrix';
import { packedProjection } from './packed/packed-projection';
import type { Projection } from './projection';
import type { WeightReader } from './weight-reader';

/**
 * Load `${name}.weight` [out, in], and `${name}.bias` where there is one; packed where the reader
 * says so.
 * @param widths [inFeatures, outFeatures].
 */
export async function loadProjection(
  weights: WeightReader,
  name: string,
  [inFeatures, outFeatures]: readonly [number, number],
): Promise<Projection> {
  const bias = weights.shape(`${name}.bias`)
    ? await weights.read(`${name}.bias`, [outFeatures])
    : undefined;
  const shape: [number, number] = [outFeatures, inFeatures];
  const { packing } = weights;
  if (packing && inFeatures * outFeatures > 0) {
    const matrix = await loadMatrix(weights, `${name}.weight`, shape, packing);
    return packedProjection(matrix, bias && tf.tensor1d(bias));
  }
  const values = await weights.read(`${name}.weight`, shape);
  const weight = tf.tidy(() => tf.transpose(tf.tensor2d(values, shape)));
  return denseProjection(weight, bias && tf.tensor1d(bias));
}
