/**
 * Up-projection of latents that are cut into groups of KV heads: group g of the output reads group
 * g of the latent only. On disk and in a {@link Projection} the weight is compact,
 * [C / groups, O]: output column o reads its own group's slice.
 */
import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import type { Projection } from '../projection';

/**
 * @param up inFeatures C / groups, outFeatures O, a multiple of groups.
 * @param latent [B, L, C], groups one after another.
 * @returns [B, L, O]; the caller disposes it.
 */
export function groupedApply(up: Projection, latent: tf.Tensor3D, groups: number): tf.Tensor3D {
  if (groups === 1) return up.apply(latent) as tf.Tensor3D;
  const [batch, length, width] = latent.shape;
  return tf.tidy(() => {
    const perGroup = tf.transpose(
      tf.reshape(latent, [batch * length, groups, width / groups]),
      [1, 0, 2],
    ); // [groups, B * L, C / groups]
    const product = stackedMatMul(perGroup, groupWeights(up, groups)); // [groups, B * L, O / groups]
    const joined = tf.reshape(tf.transpose(product, [1, 0, 2]), [batch, length, up.outFeatures]);
    return (up.bias ? tf.add(joined, up.bias) : joined) as tf.Tensor3D;
  });
}

/** The weight of each group, [groups, C / groups, O / groups]; the caller disposes it. */
export function groupWeights(up: Projection, groups: number): tf.Tensor3D {
  return tf.tidy(() => {
    const columns = tf.reshape(up.weight(), [up.inFeatures, groups, up.outFeatures / groups]);
    return tf.transpose(columns, [1, 0, 2]) as tf.Tensor3D;
  });
}
