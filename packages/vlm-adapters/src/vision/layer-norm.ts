import type { WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';

export interface LayerNorm {
  apply<T extends tf.Tensor>(x: T): T;
  dispose(): void;
}

/** Load layer normalisation over the last dimension, (x - mean) / sqrt(var + eps) * weight + bias. */
export async function loadLayerNorm(
  weights: WeightReader,
  name: string,
  width: number,
  eps: number,
): Promise<LayerNorm> {
  const weightValues = await weights.read(`${name}.weight`, [width]);
  const biasValues = await weights.read(`${name}.bias`, [width]);
  const weight = tf.tensor1d(weightValues);
  const bias = tf.tensor1d(biasValues);
  return {
    apply: (x) =>
      tf.tidy(() => {
        const centred = tf.sub(x, tf.mean(x, -1, true));
        const variance = tf.mean(tf.square(centred), -1, true);
        const normal = tf.mul(centred, tf.rsqrt(tf.add(variance, eps)));
        return tf.add(tf.mul(normal, weight), bias) as typeof x;
      }),
    dispose: () => tf.dispose([weight, bias]),
  };
}
