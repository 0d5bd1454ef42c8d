/** The gated MLP of Llama-like decoders, down(silu(gate(x)) * up(x)). */
import * as tf from '@tensorflow/tfjs-core';
import { type Projection, projectionOf } from './projection';

/**
 * @param x [B, L, D].
 * @param projections `gate_proj`, `up_proj` and `down_proj`.
 * @returns [B, L, D]; the caller disposes it.
 */
export function gatedMlp(
  x: tf.Tensor3D,
  projections: ReadonlyMap<string, Projection>,
): tf.Tensor3D {
  const apply = (name: string, input: tf.Tensor) => projectionOf(projections, name).apply(input);
  return tf.tidy(() => {
    const gated = apply('gate_proj', x); // [B, L, I]
    const silu = tf.mul(gated, tf.sigmoid(gated));
    return apply('down_proj', tf.mul(silu, apply('up_proj', x))) as tf.Tensor3D;
  });
}
