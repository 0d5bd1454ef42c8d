/**
 * Absorbed decode (FORMULAS: the flash form without its fusion): the queries of a row attend to the
 * cached latents themselves. Per head and segment m, with a = Ukᵀ q_nope:
 *   score = a·c + (bk_m − bk_text)·q_nope + q_rope·kPe,  output = Σ_m Uv_m (Σ p c) + bv_m Σ p.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { AbsorbedWeights } from './absorbed-weights';
import { blockScores } from './block-scores';
import { blockSums } from './block-sums';
import { addOffset, softmaxOverBlocks } from './softmax-over-blocks';
import { reshaped } from './views';

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
    const weights = softmaxOverBlocks(
      segments.map((segment) => segmentScores(segment, queryNope, ropeFor(segment, queryRope))),
      segments.map(({ latents }) => latents.map(({ shape }) => shape[2])),
    );
    const outputs = segments.map(({ latents, weights: { expandValue } }, i) =>
      expandValue(blockSums(weights[i]!, latents), weights[i]!),
    );
    return (outputs.length === 1 ? outputs[0]! : tf.addN(outputs)) as tf.Tensor3D;
  });
}

/**
 * Queries as the segment's rotated keys lie: [B, K, G, R], or over the keys of all heads,
 * [B, 1, N, K * R], zero where a query and a key belong to different heads. The zeros cost less than
 * taking such keys apart.
 */
function ropeFor({ keys }: CachedLatents, queryRope: tf.Tensor4D): tf.Tensor4D | undefined {
  if (queryRope.size === 0) return undefined;
  const [batch, keyHeads, perKey, width] = queryRope.shape;
  if (keys[0]!.shape[1] === keyHeads) return queryRope;
  const rows = tf.reshape(queryRope, [batch, keyHeads, perKey, 1, width]);
  const own = tf.reshape(tf.eye(keyHeads), [1, keyHeads, 1, keyHeads, 1]);
  return tf.reshape(tf.mul(rows, own), [batch, 1, keyHeads * perKey, keyHeads * width]);
}

/** Scores of a segment, [B, groups, N / groups, T]. */
function segmentScores(
  { latents, keys, offset, weights }: CachedLatents,
  queryNope: tf.Tensor4D,
  rope: tf.Tensor4D | undefined,
): tf.Tensor4D {
  const [batch, keyHeads, perKey] = queryNope.shape;
  const heads = keyHeads * perKey;
  const [, groups] = latents[0]!.shape;
  const tokens = latents.reduce((sum, { shape }) => sum + shape[2], 0);
  const shape: [number, number, number, number] = [batch, groups, heads / groups, tokens];
  const { query, bias } = weights.absorbQuery(queryNope);
  const terms: tf.Tensor[] = [];
  if (query) terms.push(blockScores(query, latents));
  if (rope) terms.push(reshaped(blockScores(rope, keys), shape));
  if (terms.length === 0) terms.push(tf.zeros(shape));
  if (bias) terms.push(tf.reshape(bias, [batch, groups, -1, 1]));
  const scores = terms.reduce((sum, term) => tf.add(sum, term)) as tf.Tensor4D;
  return offset ? addOffset(scores, offset) : scores;
}
