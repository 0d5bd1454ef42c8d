import { gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import type { Projection } from '../projection';

/** The plainest projection with a bias, y = x W + b, of Gaussian numbers. */
export function affine(inFeatures: number, outFeatures: number, seed = 1): Projection {
  const w = tf.tensor2d(gaussian(inFeatures * outFeatures, seed), [inFeatures, outFeatures]);
  const bias = tf.tensor1d(gaussian(outFeatures, seed + 1));
  return {
    inFeatures,
    outFeatures,
    bias,
    apply: (x) =>
      tf.tidy(() => {
        const y = tf.add(tf.matMul(tf.reshape(x, [-1, inFeatures]) as tf.Tensor2D, w), bias);
        return tf.reshape(y, [...x.shape.slice(0, -1), outFeatures]);
      }),
    weight: () => tf.clone(w),
    dispose: () => tf.dispose([w, bias]),
  };
}
