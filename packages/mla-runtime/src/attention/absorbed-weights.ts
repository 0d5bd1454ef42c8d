/**
 * The up-projections of a latent, arranged for decode: the key's is absorbed into the query, the
 * value's is applied after the weighted sum of latents.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { AbsorbedMatrices } from '../kernels/absorbed-on-wasm';
import type { SegmentSums } from '../kernels/attend-on-wasm';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import type { Projection } from '../projection';
import { groupWeights } from './grouped-apply';
import type { HeadShape } from './head-shape';

export interface AbsorbedQuery {
  /** [B, groups, N / groups, C / groups]; absent when there are no nope dims or no latent. */
  query?: tf.Tensor4D;
  /** Of N heads, added to every score of the segment; absent when it would be zero. */
  bias?: tf.Tensor3D;
}

export interface AbsorbedWeights extends AbsorbedMatrices {
  /** V. */
  valueDim: number;
  /** @param queryNope [B, K, G, P], scaled; G is G * L for L queries a row, head by head. */
  absorbQuery(queryNope: tf.Tensor4D): AbsorbedQuery;
  /** @returns [B, N, V], for one row [K, G, V]. */
  expandValue(sums: SegmentSums): tf.Tensor;
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
  const keyBias = biasDifference(upK.bias, commonKeyBias, heads, qkNopeHeadDim); // [K, P, 1]
  const valueBias = upV.bias && perQueryHead(upV.bias, heads, numAttentionHeads); // [N, 1, V]

  return {
    ...{ key, value, keyBias, valueBias, valueDim },
    absorbQuery(queryNope) {
      if (qkNopeHeadDim === 0) return {};
      const [batch] = queryNope.shape;
      const byKey = headsFirst(queryNope, batch, heads); // [K, B * G, P]
      return {
        query: key && groupsFirst(stackedMatMul(byKey, key), batch, groups),
        bias: keyBias && batchFirst(stackedMatMul(byKey, keyBias), batch),
      };
    },
    expandValue({ sums, masses }) {
      const [batch, groups, perGroup] = sums.shape;
      const queryHeads = groups * perGroup;
      const output = value
        ? batchFirst(stackedMatMul(headsFirst(sums, batch, heads), value), batch)
        : tf.zeros(
            batch === 1 ? [heads, queryHeads / heads, valueDim] : [batch, queryHeads, valueDim],
          );
      if (!valueBias) return output;
      const byHead = tf.reshape(masses(), [batch, numAttentionHeads, -1, 1]);
      return tf.add(output, tf.reshape(tf.mul(byHead, valueBias), output.shape));
    },
  };
}

export function disposeAbsorbed({ key, value, keyBias, valueBias }: AbsorbedWeights): void {
  tf.dispose({ key, value, keyBias, valueBias });
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
  own: tf.Tensor1D | undefined,
  common: tf.Tensor1D | undefined,
  heads: number,
  width: number,
): tf.Tensor3D | undefined {
  if (own === common || width === 0) return undefined;
  return tf.tidy(() => {
    const difference = tf.sub(own ?? 0, common ?? 0);
    return tf.keep(tf.reshape(difference, [heads, width, 1]) as tf.Tensor3D);
  });
}

/** A bias [K * V] for each query head, [N, 1, V]. */
function perQueryHead(bias: tf.Tensor1D, heads: number, queryHeads: number): tf.Tensor3D {
  return tf.tidy(() => {
    const rows = tf.tile(tf.reshape(bias, [heads, 1, -1]), [1, queryHeads / heads, 1]); // [K, G, V]
    return tf.keep(tf.reshape(rows, [queryHeads, 1, -1]) as tf.Tensor3D);
  });
}

/** [B, N, W], its heads in one axis or two, to [K, B * G, W]. */
function headsFirst(x: tf.Tensor, batch: number, heads: number): tf.Tensor {
  const width = x.shape[x.rank - 1]!;
  if (batch === 1) return tf.reshape(x, [heads, -1, width]);
  const split = tf.reshape(x, [batch, heads, -1, width]);
  return tf.reshape(tf.transpose(split, [1, 0, 2, 3]), [heads, -1, width]);
}

/** [K, B * G, W] to [B, N, W]; of one row as it is. */
function batchFirst(x: tf.Tensor, batch: number): tf.Tensor3D {
  const [heads, , width] = x.shape as [number, number, number];
  if (batch === 1) return x as tf.Tensor3D;
  const split = tf.reshape(x, [heads, batch, -1, width]);
  return tf.reshape(tf.transpose(split, [1, 0, 2, 3]), [batch, -1, width]);
}

/** [K, B * G, C'] to [B, groups, N / groups, C']. */
function groupsFirst(x: tf.Tensor, batch: number, groups: number): tf.Tensor4D {
  const [heads, , width] = x.shape as [number, number, number];
  if (batch === 1) return tf.reshape(x, [1, groups, -1, width]);
  const split = tf.reshape(x, [groups, heads / groups, batch, -1, width]); // [groups, K', B, G, C']
  return tf.reshape(tf.transpose(split, [2, 0, 1, 3, 4]), [batch, groups, -1, width]);
}
