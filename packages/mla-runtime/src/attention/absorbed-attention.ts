/**
 * Absorbed decode (FORMULAS: the flash form without its fusion): the queries of a row attend to the
 * cached latents themselves. Per head and segment m, with a = Ukᵀ q_nope:
 *   score = a·c + (bk_m − bk_text)·q_nope + q_rope·kPe,  output = Σ_m Uv_m (Σ p c) + bv_m Σ p.
 */
import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import type { AbsorbedWeights } from './absorbed-weights';
import { blockScores } from './block-scores';
import { joinScores, softmaxOverBlocks } from './softmax-over-blocks';

/** What is cached of one segment, block by block; the blocks of latents and keys may end apart. */
export interface CachedLatents {
  /** [B, groups, T, C / groups]. */
  latents: readonly tf.Tensor4D[];
  /** Rotated keys, [B, K, T, R], or the heads side by side, [B, 1, T, K * R]. */
  keys: readonly tf.Tensor4D[];
  /**
   * Added to the scores: MASKED slots, a bias of the keys. [B, 1 or N, T of the segment], or
   * [B, 1 or N, L, T].
   */
  offset: tf.Tensor3D | tf.Tensor4D | undefined;
  weights: AbsorbedWeights;
}

/**
 * @param queryNope [B, 1, N, P], scaled; with L queries a row N is N * L, of {@link queriesAsHeads}.
 * @param queryRope [B, 1, N, R], rotated and scaled.
 * @param segments one or more, none of them empty.
 * @returns [B, N, V]; the caller disposes it.
 */
export function absorbedAttention(
  queryNope: tf.Tensor4D,
  queryRope: tf.Tensor4D,
  segments: readonly CachedLatents[],
  numKeyValueHeads: number,
): tf.Tensor3D {
  return tf.tidy(() => {
    const weights = softmaxOverBlocks(
      segments.map((segment) => [
        segmentScores(segment, queryNope, ropeFor(segment, queryRope, numKeyValueHeads)),
      ]),
      segments.map(({ offset }) => offset),
      segments.map(({ latents }) => latents.map(({ shape }) => shape[2])),
    );
    const outputs = segments.map((segment, i) => segmentValues(segment, weights[i]!));
    return tf.addN(outputs) as tf.Tensor3D;
  });
}

/**
 * Queries as the segment's rotated keys lie: [B, K, G, R], or over the keys of all heads,
 * [B, 1, N, K * R], zero where a query and a key belong to different heads. The zeros cost less than
 * taking such keys apart.
 */
function ropeFor(
  { keys }: CachedLatents,
  queryRope: tf.Tensor4D,
  numKeyValueHeads: number,
): tf.Tensor4D | undefined {
  if (queryRope.size === 0) return undefined;
  const [batch, , heads, width] = queryRope.shape;
  const byKey = tf.reshape(queryRope, [batch, numKeyValueHeads, -1, width]) as tf.Tensor4D; // [B, K, G, R]
  if (keys[0]!.shape[1] === numKeyValueHeads) return byKey;
  const rows = tf.reshape(byKey, [batch, numKeyValueHeads, -1, 1, width]);
  const own = tf.reshape(tf.eye(numKeyValueHeads), [1, numKeyValueHeads, 1, numKeyValueHeads, 1]);
  return tf.reshape(tf.mul(rows, own), [batch, 1, heads, numKeyValueHeads * width]);
}

/** Scores [B, N, T] of a segment. */
function segmentScores(
  { latents, keys, weights }: CachedLatents,
  queryNope: tf.Tensor4D,
  rope: tf.Tensor4D | undefined,
): tf.Tensor3D {
  const [batch, , heads] = queryNope.shape;
  const { query, bias } = weights.absorbQuery(queryNope);
  const terms: tf.Tensor3D[] = [];
  if (query) terms.push(joinScores(latents.map((latent) => blockScores(query, latent))));
  if (rope) terms.push(joinScores(keys.map((block) => blockScores(rope, block))));
  const tokens = latents.reduce((sum, { shape }) => sum + shape[2], 0);
  const score = terms.length > 0 ? tf.addN(terms) : tf.zeros<tf.Rank.R3>([batch, heads, tokens]);
  return bias ? tf.add(score, bias) : score;
}

/** [B, N, V]: the part of the output that a segment's tokens give. */
function segmentValues(
  { latents, weights }: CachedLatents,
  shares: readonly tf.Tensor3D[],
): tf.Tensor {
  const [batch, groups] = latents[0]!.shape;
  const sums = shares.map((share, i) => {
    const byGroup = tf.reshape(share, [batch, groups, -1, share.shape[2]]); // [B, groups, N / groups, T]
    return stackedMatMul(byGroup, latents[i]!); // [B, groups, N / groups, C / groups]
  });
  return weights.expandValue(tf.addN(sums) as tf.Tensor4D, shares);
}
