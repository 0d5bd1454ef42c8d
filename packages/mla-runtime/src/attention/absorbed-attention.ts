/**
 * Absorbed decode (FORMULAS: the flash form without its fusion): the queries of a row attend to the
 * cached latents themselves. Per head and segment m, with a = Ukᵀ q_nope:
 *   score = a·c + (bk_m − bk_text)·q_nope + q_rope·kPe,  output = Σ_m Uv_m (Σ p c) + bv_m Σ p.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type CachedVectors, headsOf } from '../cache/layer-cache';
import { absorbedOnWasm, isAbsorbedOnWasm } from '../kernels/absorbed-on-wasm';
import type { AttendedSegment } from '../kernels/attend-on-wasm';
import type { AbsorbedWeights } from './absorbed-weights';
import { attendCached } from './attend-cached';
import { cachedBlocks } from './cached-blocks';

/** What is cached of one segment. */
export interface CachedLatents {
  /** [B, groups, T, C / groups]. */
  latents: CachedVectors;
  /** Rotated keys, [B, K, T, R], or the heads side by side, [B, 1, T, K * R]. */
  keys: CachedVectors;
  /**
   * Added to the scores: MASKED slots, a bias of the keys. [B, 1 or N, T of the segment], or
   * [B, 1 or N, L, T].
   */
  offset: tf.Tensor3D | tf.Tensor4D | undefined;
  weights: AbsorbedWeights;
}

/**
 * @param queryNope [B, K, G, P], scaled; with L queries a row G is G * L, of {@link queriesAsHeads}.
 * @param queryRope [B, K, G, R], rotated and scaled.
 * @param segments one or more, none of them empty.
 * @returns [B, N, V], for one row [K, G, V]; the caller disposes it.
 */
export function absorbedAttention(
  queryNope: tf.Tensor4D,
  queryRope: tf.Tensor4D,
  segments: readonly CachedLatents[],
): tf.Tensor3D {
  return tf.tidy(() => {
    if (isAbsorbedOnWasm(queryNope) && segments.every(isByGroup)) {
      const inBlocks = segments.map(({ latents, keys, offset, weights }) => ({
        ...{ values: cachedBlocks(latents), keys: cachedBlocks(keys), offset, weights },
        turned: ropeFor(keys, queryRope),
      }));
      return absorbedOnWasm(queryNope, inBlocks, segments[0]!.weights.valueDim);
    }
    const [, keyHeads, perKey] = queryNope.shape;
    const attended = attendCached(
      segments.map((segment) => withQueries(segment, queryNope, queryRope)),
      keyHeads * perKey,
    );
    const outputs = segments.map(({ weights }, m) => weights.expandValue(attended[m]!));
    return (outputs.length === 1 ? outputs[0]! : tf.addN(outputs)) as tf.Tensor3D;
  });
}

/** Keys of all heads side by side are one part for all groups. */
function isByGroup({ latents, keys }: CachedLatents): boolean {
  return headsOf(keys) >= headsOf(latents);
}

function withQueries(
  { latents, keys, offset, weights }: CachedLatents,
  queryNope: tf.Tensor4D,
  queryRope: tf.Tensor4D,
): AttendedSegment<CachedVectors> {
  const { query, bias } = weights.absorbQuery(queryNope);
  return { values: latents, query, keys, turned: ropeFor(keys, queryRope), bias, offset };
}

/**
 * Queries as the segment's rotated keys lie: [B, K, G, R], or over the keys of all heads,
 * [B, 1, N, K * R], zero where a query and a key belong to different heads. The zeros cost less than
 * taking such keys apart.
 */
function ropeFor(keys: CachedVectors, queryRope: tf.Tensor4D): tf.Tensor4D | undefined {
  if (queryRope.size === 0) return undefined;
  const [batch, keyHeads, perKey, width] = queryRope.shape;
  if (headsOf(keys) === keyHeads) return queryRope;
  const rows = tf.reshape(queryRope, [batch, keyHeads, perKey, 1, width]);
  const own = tf.reshape(tf.eye(keyHeads), [1, keyHeads, 1, keyHeads, 1]);
  return tf.reshape(tf.mul(rows, own), [batch, 1, keyHeads * perKey, keyHeads * width]);
}
