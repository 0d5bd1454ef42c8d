/** The gated MLP of Llama-like decoders, down(silu(gate(x)) * up(x)). */
import * as tf from '@tensorflow/tfjs-core';
import { type Projection, projectionOf } from './projection';
import { siluGate } from './silu-gate';

/**
 * @param x [B, L, D].
 * @param projections `gate_proj`, `up_proj` and `down_proj`.
 * @returns [B, L, D]; the caller disposes it.
 */
export function gatedMlp(
  x: tf.Tensor3D,
  projections: ReadonlyMap<string, Projection>,
): tf.Tensor3D {
  const [batch, length, width] = x.shape;
  const apply = (name: string, input: tf.Tensor) => projectionOf(projections, name).apply(input);
  return tf.tidy(() => {
    const rows = tf.reshape(x, [batch * length, width]);
    const gated = siluGate(apply('gate_proj', rows), apply('up_proj', rows)); // [B * L, I]
    return tf.reshape(apply('down_proj', gated), [batch, length, width]);
  });
}
