/** Gradient clipping by the norm over all parameters, as torch's `clip_grad_norm_`. */
import * as tf from '@tensorflow/tfjs-core';
import { stacksOf } from './stacks';

/** Keeps the division finite where all gradients are 0; the value torch uses. */
const EPSILON = 1e-6;

/**
 * Scale all gradients by min(1, maxNorm / (norm + 1e-6)), norm = sqrt of the sum of all squares.
 * @returns new gradients and the norm before clipping (a scalar, never read back here); the caller
 *   disposes both.
 * @throws RangeError if maxNorm is not above 0.
 */
export function clipByGlobalNorm(
  grads: tf.NamedTensorMap,
  maxNorm: number,
): { grads: tf.NamedTensorMap; norm: tf.Scalar } {
  if (!(maxNorm > 0)) {
    throw new RangeError(`clipByGlobalNorm: maxNorm must be above 0, got maxNorm=${maxNorm}.`);
  }
  return tf.tidy(() => {
    const stacks = stacksOf(grads).map((stack) => ({
      ...stack,
      joined: stack.join((name) => grads[name]!),
    }));
    const squares = stacks.map(({ joined }) => tf.sum(tf.square(joined)));
    const norm = tf.sqrt(squares.length > 0 ? tf.addN(squares) : tf.scalar(0)) as tf.Scalar;
    const factor = tf.minimum(1, tf.div(maxNorm, tf.add(norm, EPSILON)));
    const clipped: tf.NamedTensorMap = {};
    for (const { names, joined, part } of stacks) {
      for (const [i, grad] of part(tf.mul(joined, factor)).entries()) clipped[names[i]!] = grad;
    }
    return { grads: clipped, norm };
  });
}
