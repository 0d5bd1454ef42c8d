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
import { gatherSegment } from '../cache/segment-tokens';
import type { DecodeStep } from '../decode-step';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import { type Projection, projectionOf } from '../projection';
import type { PrefillStep } from '../step';
import type { Attention, PrefillOptions } from './attention';
import { blockScores } from './block-scores';
import { causalAttention } from './causal-attention';
import { concatWidths } from './concat-widths';
import type { HeadShape } from './head-shape';
import { headsAsQueries, queriesAsHeads } from './queries-as-heads';
import { projectRotary } from './rotary-projections';
import { softmaxOverBlocks } from './softmax-over-blocks';
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
      const { rawQuery, rawKey, query, key, value } = this.project(x, step.rotary);
      if (cache) {
        this.append(cache, gatherHeads(key, step), gatherHeads(value, step));
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

  decode(x: tf.Tensor3D, step: DecodeStep, cache: LayerCache): tf.Tensor3D {
    const { numKeyValueHeads, headDim } = this.shape;
    const [batch] = x.shape;
    return tf.tidy(() => {
      const { query, key, value } = this.project(x, step.rotary);
      this.append(cache, gatherHeads(key, step), gatherHeads(value, step));
      const heads = queriesAsHeads(tf.mul(query, this.scale));
      const grouped = tf.reshape(heads, [batch, numKeyValueHeads, -1, headDim]) as tf.Tensor4D; // [B, K, G * L, H]
      const values = cache.part('all', 'value').read<tf.Rank.R4>();
      const keys = cache.part('all', 'key').read<tf.Rank.R4>();
      const scores = keys.map((block) => blockScores(grouped, block)); // [B, N * L, T]
      const [weights] = softmaxOverBlocks(
        [scores],
        [step.mask('all')],
        [values.map(({ shape }) => shape[2])],
      );
      const parts = weights!.map((weight, i) => {
        const rows = tf.reshape(weight, [batch, numKeyValueHeads, -1, weight.shape[2]]);
        return stackedMatMul(rows, values[i]!); // [B, K, G * L, V]
      });
      const attended = tf.reshape(tf.addN(parts), [batch, -1, parts[0]!.shape[3]!]) as tf.Tensor3D;
      const output = headsAsQueries(attended, step.layout.length);
      return this.projection('o_proj').apply(output) as tf.Tensor3D;
    });
  }

  refresh(): void {}

  dispose(): void {
    for (const projection of this.projections.values()) projection.dispose();
  }

  private projection(name: string): Projection {
    return projectionOf(this.projections, name);
  }

  /** Queries, keys [B, L, heads, H] and values [B, L, K, V] of a layer input. */
  private project(x: tf.Tensor3D, rotary: PrefillStep['rotary']) {
    const [batch, length] = x.shape;
    const { numKeyValueHeads, qkNopeHeadDim, ropePairs } = this.shape;
    const rows = rowsOf(x);
    const heads = (name: string) =>
      tf.reshape(this.projection(name).apply(rows), [
        batch,
        length,
        numKeyValueHeads,
        -1,
      ]) as tf.Tensor4D;
    const keyName = ropePairs ? 'k_r_proj' : 'k_proj';
    const parts = projectRotary(rows, this.projections, keyName, this.shape, rotary);
    const value = heads(ropePairs ? 'kv_proj.up_v' : 'v_proj');
    const keyNope = qkNopeHeadDim > 0 ? [heads('kv_proj.up_k')] : [];
    return {
      ...parts,
      query: concatWidths([parts.queryRope, parts.queryNope]),
      key: concatWidths([parts.keyRope, ...keyNope]),
      value,
    };
  }

  /** Cache keys and values [B, T, K, width]. */
  private append(cache: LayerCache, key: tf.Tensor4D, value: tf.Tensor4D): void {
    cache.part('all', 'key').append(tf.transpose(key, [0, 2, 1, 3]));
    cache.part('all', 'value').append(tf.transpose(value, [0, 2, 1, 3]));
  }
}

/** The tokens of [B, L, K, width] that are not padding, [B, T, K, width]. */
function gatherHeads(x: tf.Tensor4D, step: Pick<PrefillStep, 'layout'>): tf.Tensor4D {
  const [batch, length, heads, width] = x.shape;
  const flat = tf.reshape(x, [batch, length, heads * width]) as tf.Tensor3D;
  return tf.reshape(gatherSegment(flat, 'all', step.layout), [batch, -1, heads, width]);
}
