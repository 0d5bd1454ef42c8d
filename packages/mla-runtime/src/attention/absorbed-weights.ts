/**
 * The up-projections of a latent, arranged for decode: the key's is absorbed into the query, the
 * value's is applied after the weighted sum of latents.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Projection } from '../projection';
import { groupWeights } from './grouped-apply';
import type { HeadShape } from './head-shape';

export interface AbsorbedQuery {
  /** [B, groups, N / groups, C / groups]; absent when there are no nope dims or no latent. */
  query?: tf.Tensor4D;
  /** [B, N, 1], added to every score of the segment; absent when it would be zero. */
  bias?: tf.Tensor;
}

export interface AbsorbedWeights {
  /** @param queryNope [B, 1, N, P]. */
  absorbQuery(queryNope: tf.Tensor4D, scale: number): AbsorbedQuery;
  /**
   * @param sum weighted latents [B, groups, N / groups, C / groups].
   * @param mass sum of a head's weights in this segment, [B, N, 1].
   * @returns [B, N, V].
   */
  expandValue(sum: tf.Tensor4D, mass: tf.Tensor): tf.Tensor;
  tensors: tf.Tensor[];
}

interface AbsorbOptions extends HeadShape {
  groups: number;
  /** Left out of the scores, as softmax cancels it. */
  commonKeyBias?: tf.Tensor1D;
}

/** Arrange a segment's up-projections; the caller disposes the result. */
export function absorbWeights(
  upK: Projection,
  upV: Projection,
  { numKeyValueHeads, numAttentionHeads, qkNopeHeadDim, groups, commonKeyBias }: AbsorbOptions,
): AbsorbedWeights {
  const latentWidth = upV.inFeatures; // C / groups
  const heads = numKeyValueHeads;
  const valueDim = upV.outFeatures / heads;
  const absorbs = qkNopeHeadDim > 0 && latentWidth > 0;
  const key = absorbs ? perHead(upK, heads, groups, qkNopeHeadDim, [0, 2, 1]) : undefined; // [K, P, C']
  const value = latentWidth > 0 ? perHead(upV, heads, groups, valueDim, [0, 1, 2]) : undefined; // [K, C', V]
  const keyBias = biasDifference(upK, commonKeyBias, heads, qkNopeHeadDim); // [K, P, 1]
  const valueBias = upV.bias ? tf.keep(tf.reshape(upV.bias, [heads, 1, valueDim])) : undefined;

  return {
    tensors: [key, value, keyBias, valueBias].filter((t) => t !== undefined),
    absorbQuery(queryNope, scale) {
      if (qkNopeHeadDim === 0) return {};
      const [batch] = queryNope.shape;
      const byKey = headsFirst(tf.mul(queryNope, scale), batch, heads); // [K, B * G, P]
      return {
        query: key && groupsFirst(tf.matMul(byKey, key), batch, groups),
        bias: keyBias && batchFirst(tf.matMul(byKey, keyBias), batch),
      };
    },
    expandValue(sum, mass) {
      const batch = mass.shape[0]!;
      const flat = tf.reshape(sum, [batch, numAttentionHeads, latentWidth]);
      const output = value
        ? batchFirst(tf.matMul(headsFirst(flat, batch, heads), value), batch)
        : tf.zeros([batch, numAttentionHeads, valueDim]);
      if (!valueBias) return output;
      const bias = tf.matMul(headsFirst(mass, batch, heads), valueBias); // [K, B * G, V]
      return tf.add(output, batchFirst(bias, batch));
    },
  };
}

export function disposeAbsorbed(weights: AbsorbedWeights): void {
  tf.dispose(weights.tensors);
}

/** Per KV head [C', width], its axes permuted. */
function perHead(
  up: Projection,
  heads: number,
  groups: number,
  width: number,
  axes: number[],
): tf.Tensor3D {
  return tf.tidy(() => {
    const blocks = groupWeights(up, groups); // [groups, C', heads / groups * width]
    const split = tf.reshape(blocks, [groups, up.inFeatures, heads / groups, width]);
    const byHead = tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [heads, up.inFeatures, width]);
    return tf.keep(tf.transpose(byHead, axes) as tf.Tensor3D);
  });
}

/** up_k's bias less the common one as [K, P, 1]; absent where both are the same tensor or none. */
function biasDifference(
  upK: Projection,
  common: tf.Tensor1D | undefined,
  heads: number,
  width: number,
): tf.Tensor | undefined {
  if (!upK.bias || upK.bias === common || width === 0) return undefined;
  const bias = upK.bias;
  return tf.tidy(() =>
    tf.keep(tf.reshape(common ? tf.sub(bias, common) : bias, [heads, width, 1])),
  );
}

/** [B, (1,) N, W] to [K, B * G, W]. */
function headsFirst(x: tf.Tensor, batch: number, heads: number): tf.Tensor {
  const width = x.shape[x.rank - 1]!;
  const split = tf.reshape(x, [batch, heads, -1, width]);
  return tf.reshape(tf.transpose(split, [1, 0, 2, 3]), [heads, -1, width]);
}

/** [K, B * G, W] to [B, N, W]. */
function batchFirst(x: tf.Tensor, batch: number): tf.Tensor {
  const [heads, , width] = x.shape as [number, number, number];
  const split = tf.reshape(x, [heads, batch, -1, width]);
  return tf.reshape(tf.transpose(split, [1, 0, 2, 3]), [batch, -1, width]);
}

/** [K, B * G, C'] to [B, groups, N / groups, C']. */
function groupsFirst(x: tf.Tensor, batch: number, groups: number): tf.Tensor4D {
  const rows = batchFirst(x, batch);
  return tf.reshape(rows, [batch, groups, -1, rows.shape[2]!]) as tf.Tensor4D;
}
