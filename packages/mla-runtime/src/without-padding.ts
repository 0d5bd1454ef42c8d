import * as tf from '@tensorflow/tfjs-core';
import type { PrefillStep } from './step';

/**
 * Embeddings with zeros at padding, whatever stood there: 0 × NaN is NaN in a masked sum.
 * @param inputsEmbeds [B, L, D].
 * @returns [B, L, D]; the caller disposes it.
 */
export function withoutPadding(
  inputsEmbeds: tf.Tensor3D,
  { padding, layout }: Pick<PrefillStep, 'padding' | 'layout'>,
): tf.Tensor3D {
  if (!padding) return tf.clone(inputsEmbeds);
  return tf.tidy(() => {
    const masked = tf.reshape(padding, [layout.batch, layout.length, 1]);
    // Compared in full width: a boolean would be tiled by its broadcast, which is slow on wasm.
    const real = tf.equal(masked, tf.zeros([inputsEmbeds.shape[2]]));
    return tf.where(real, inputsEmbeds, tf.zerosLike(inputsEmbeds));
  });
}
