/**
 * Attention that caches keys and values: the original form (all pairs turned), and partial RoPE
 * without low rank, whose keys are [turned dims | the rest].
 *
 * Projections: `q_proj`, `k_proj`, `v_proj`, `o_proj`; with partial RoPE `q_proj` (rope rows, then
 * nope rows), `k_r_proj`, `kv_proj.up_k`, `kv_proj.up_v`, `o_proj`. A bias of the nope keys adds
 * the same to every score of a query, so softmax cancels it.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LayerCache } from '../cache/layer-cache';
import type { DecodeStep } from '../decode-step';
import { type Projection, projectionOf } from '../projection';
import type { PrefillStep } from '../step';
import type { Attention, PrefillOptions } from './attention';
import { blockScores } from './block-scores';
import { blockSums } from './block-sums';
import { cachedBlocks } from './cached-blocks';
import { causalAttention } from './causal-attention';
import { concatWidths } from './concat-widths';
import type { HeadShape } from './head-shape';
import { headsAsQueries, queriesAsHeads } from './queries-as-heads';
import { projectRotary } from './rotary-projections';
import { addOffset, softmaxOverBlocks } from './softmax-over-blocks';
import { tokensByPart } from './tokens-by-part';
import { rowsOf, tokensLike } from './views';

export class FullAttention implements Attention {
  readonly segments = ['all'] as const;
  private readonly scale: number;

  constructor(
    readonly projections: Map<string, Projection>,
    private readonly shape: HeadShape,
  ) {
    this.scale = 1 / Math.sqrt(shape.headDim);
  }

  prefill(x: tf.Tensor3D, step: PrefillStep, options: PrefillOptions = {}): tf.Tensor3D {
    const { cache, past, observe } = options;
    return tf.tidy(() => {
      const { rawQuery, rawKey, query, key, value } = this.project(rowsOf(x), step.rotary);
      if (cache) {
        this.append(cache, key, value, step);
      }
      const attended = causalAttention(query, key, value, step, this.scale, past);
      const output = tokensLike(x, this.projection('o_proj').apply(attended));
      observe?.({
        input: x,
        query: tokensLike(x, rawQuery),
        key: tokensLike(x, rawKey),
        output,
      });
      return output;
    });
  }

  decode(rows: tf.Tensor2D, step: DecodeStep, cache: LayerCache): tf.Tensor2D {
    const { batch, length } = step.layout;
    return tf.tidy(() => {
      const { query, key, value } = this.project(rows, step.rotary, this.scale);
      this.append(cache, key, value, step);
      const grouped = queriesAsHeads(query, this.shape.numKeyValueHeads); // [B, K, G * L, H]
      const values = cachedBlocks(cache.part('all', 'value'));
      const scores = blockScores(grouped, cachedBlocks(cache.part('all', 'key'))); // [B, K, G * L, T]
      const mask = step.mask('all');
      const [weights] = softmaxOverBlocks(
        [mask ? addOffset(scores, mask) : scores],
        [values.map(({ shape }) => shape[2])],
      );
      const sums = blockSums(weights!, values); // [B, K, G * L, V]
      const output = headsAsQueries(sums, [batch, length]);
      return this.projection('o_proj').apply(output) as tf.Tensor2D;
    });
  }

  refresh(): void {}

  dispose(): void {
    for (const projection of this.projections.values()) projection.dispose();
  }

  private projection(name: string): Projection {
    return projectionOf(this.projections, name);
  }

  /** Queries, keys [B, L, heads, H] and values [B, L, K, V] of a layer input [B * L, D]. */
  private project(rows: tf.Tensor2D, rotary: PrefillStep['rotary'], scale = 1) {
    const [batch, length] = rotary.cos.shape;
    const { numKeyValueHeads, qkNopeHeadDim, ropePairs } = this.shape;
    const heads = (name: string) =>
      tf.reshape(this.projection(name).apply(rows), [
        batch,
        length,
        numKeyValueHeads,
        -1,
      ]) as tf.Tensor4D;
    const keyName = ropePairs ? 'k_r_proj' : 'k_proj';
    const parts = projectRotary(rows, this.projections, keyName, this.shape, rotary, scale);
    const value = heads(ropePairs ? 'kv_proj.up_v' : 'v_proj');
    const keyNope = qkNopeHeadDim > 0 ? [heads('kv_proj.up_k')] : [];
    return {
      ...parts,
      query: concatWidths([parts.queryRope, parts.queryNope]),
      key: concatWidths([parts.keyRope, ...keyNope]),
      value,
    };
  }

  /** Cache keys and values [B, L, K, width] of the tokens that are not padding. */
  private append(
    cache: LayerCache,
    key: tf.Tensor4D,
    value: tf.Tensor4D,
    { layout }: Pick<PrefillStep, 'layout'>,
  ): void {
    for (const [name, x] of Object.entries({ key, value })) {
      cache.part('all', name).append(tokensByPart(x, 'all', layout, x.shape[2]));
    }
  }
}
