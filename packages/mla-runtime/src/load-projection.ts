import * as tf from '@tensorflow/tfjs-core';
import { denseProjection } from './dense-projection';
import type { Projection } from './projection';
import type { WeightReader } from './weight-reader';

/**
 * Load `${name}.weight` [out, in], and `${name}.bias` where there is one.
 * @param widths [inFeatures, outFeatures].
 */
export async function loadProjection(
  weights: WeightReader,
  name: string,
  [inFeatures, outFeatures]: readonly [number, number],
): Promise<Projection> {
  const values = await weights.read(`${name}.weight`, [outFeatures, inFeatures]);
  const bias = weights.shape(`${name}.bias`)
    ? await weights.read(`${name}.bias`, [outFeatures])
    : undefined;
  const weight = tf.tidy(() => tf.transpose(tf.tensor2d(values, [outFeatures, inFeatures])));
  return denseProjection(weight, bias && tf.tensor1d(bias));
}
