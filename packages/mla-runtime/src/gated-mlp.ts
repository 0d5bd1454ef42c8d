/** The gated MLP of Llama-like decoders, down(silu(gate(x)) * up(x)). */
import * as tf from '@tensorflow/tfjs-core';
import type { Projection } from './projection';

/**
 * @param x [B, L, D].
 * @returns [B, L, D]; the caller disposes it.
 */
export function gatedMlp(
  x: tf.Tensor3D,
  { gate, up, down }: { gate: Projection; up: Projection; down: Projection },
): tf.Tensor3D {
  return tf.tidy(() => {
    const gated = gate.apply(x); // [B, L, I]
    const silu = tf.mul(gated, tf.sigmoid(gated));
    return down.apply(tf.mul(silu, up.apply(x))) as tf.Tensor3D;
  });
}
