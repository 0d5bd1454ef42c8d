/** Activation functions of vision towers and projectors, by Hugging Face's names. */
import { showJson } from '@mha2mla/checkpoint';
import * as tf from '@tensorflow/tfjs-core';

export type Activation = (x: tf.Tensor) => tf.Tensor;

const ACTIVATIONS = new Map<string, Activation>([
  ['quick_gelu', (x) => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)))],
  ['gelu', (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1))],
  ['silu', (x) => tf.mul(x, tf.sigmoid(x))],
]);

/** @throws RangeError for a name that is not known. */
export function activation(name: unknown): Activation {
  const found = typeof name === 'string' ? ACTIVATIONS.get(name) : undefined;
  if (!found) {
    throw new RangeError(
      `activation: must be one of ${[...ACTIVATIONS.keys()].join(', ')}, got ${showJson(name)}.`,
    );
  }
  return (x) => tf.tidy(() => found(x));
}
