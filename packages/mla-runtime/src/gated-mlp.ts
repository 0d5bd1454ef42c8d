/** The gated MLP of Llama-like decoders, down(silu(gate(x)) * up(x)). */
import * as tf from '@tensorflow/tfjs-core';
import { rowsOf, tokensLike } from './attention/views';
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
  const apply = (name: string, input: tf.Tensor) => projectionOf(projections, name).apply(input);
  return tf.tidy(() => {
    const rows = rowsOf(x);
    const gated = siluGate(apply('gate_proj', rows), apply('up_proj', rows)); // [B * L, I]
    return tokensLike(x, apply('down_proj', gated));
  });
}
