/** The gated MLP of Llama-like decoders, down(silu(gate(x)) * up(x)). */
import * as tf from '@tensorflow/tfjs-core';
import { reshaped } from './attention/views';
import { type Projection, projectionOf } from './projection';
import { siluGate } from './silu-gate';

/**
 * @param x [B, L, D], or rows [B * L, D].
 * @param projections `gate_proj`, `up_proj` and `down_proj`.
 * @returns the shape of x; the caller disposes it.
 */
export function gatedMlp<T extends tf.Tensor>(
  x: T,
  projections: ReadonlyMap<string, Projection>,
): T {
  const apply = (name: string, input: tf.Tensor) => projectionOf(projections, name).apply(input);
  return tf.tidy(() => {
    const width = x.shape[x.rank - 1]!;
    const rows = reshaped(x, [x.size / width, width]); // [B * L, D]
    const gated = siluGate(apply('gate_proj', rows), apply('up_proj', rows)); // [B * L, I]
    return reshaped(apply('down_proj', gated), x.shape) as T;
  });
}
