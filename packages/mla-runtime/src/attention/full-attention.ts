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
import { attendCached } from './attend-cached';
import type { Attention, PrefillOptions } from './attention';
import { causalAttention } from './causal-attention';
import { concatWidths } from './concat-widths';
import { projectForDecode } from './decode-projections';
import type { HeadShape } from './head-shape';
import { headsAsQueries } from './queries-as-heads';
import { projectRotary } from './rotary-projections';
import { tokensByPart } from './tokens-by-part';
import { rowsOf, tokensLike } from './views';

export class FullAttention implements Attention {
  readonly segments = ['all'] as const;
  private readonly scale: number;
  readonly inOnePass = true;

  constructor(
    readonly projections: Map<string, Projection>,
    private readonly shape: HeadShape,
  ) {
    this.scale = 1 / Math.sqrt(shape.headDim);
  }

  prefill(x: tf.Tensor3D, step: PrefillStep, options: PrefillOptions = {}): tf.Tensor3D {
    const { cache, past, observe } = options;
    return tf.tidy(() => {
      const rows = rowsOf(x);
      const parts = projectRotary(rows, this.projections, this.keyName, this.shape, step.rotary);
      const query = concatWidths([parts.queryRope, parts.queryNope]); // [B, L, N, H]
      const key = this.wholeKey(rows, parts.keyRope); // [B, L, K, H]
      const values = this.valueOf(rows);
      if (cache) this.append(cache, key, values, step);
      const value = likeHeads(values, key); // [B, L, K, V]
      const attended = causalAttention(query, key, value, step, this.scale, past);
      const output = tokensLike(x, this.projection('o_proj').apply(attended));
      observe?.({
        input: x,
        query: tokensLike(x, parts.rawQuery),
        key: tokensLike(x, parts.rawKey),
        output,
      });
      return output;
    });
  }

  decode(rows: tf.Tensor2D, step: DecodeStep, cache: LayerCache): tf.Tensor2D {
    const { batch, length } = step.layout;
    return tf.tidy(() => {
      const { queryRope, queryNope, keyRope } = projectForDecode(
        rows,
        this.projections,
        this.keyName,
        this.shape,
        step.rotary,
        this.scale,
      );
      this.append(cache, this.wholeKey(rows, keyRope), this.valueOf(rows), step);
      const [attended] = attendCached(
        [
          {
            values: cache.part('all', 'value'),
            keys: cache.part('all', 'key'),
            turned: concatWidths([queryRope, queryNope]), // [B, K, G * L, H]
            offset: step.mask('all'),
          },
        ],
        this.shape.numAttentionHeads * length,
      );
      const output = headsAsQueries(attended!.sums, [batch, length]);
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

  private get keyName(): string {
    return this.shape.ropePairs ? 'k_r_proj' : 'k_proj';
  }

  /** Values of a layer input [B * L, D], [B * L, K * V]. */
  private valueOf(rows: tf.Tensor2D): tf.Tensor2D {
    const name = this.shape.ropePairs ? 'kv_proj.up_v' : 'v_proj';
    return this.projection(name).apply(rows) as tf.Tensor2D;
  }

  /** Rotated keys and what is not rotated of them side by side, of the shape of keyRope but for its width. */
  private wholeKey(rows: tf.Tensor2D, keyRope: tf.Tensor4D): tf.Tensor4D {
    if (this.shape.qkNopeHeadDim === 0) return keyRope;
    const nope = this.projection('kv_proj.up_k').apply(rows);
    return concatWidths([keyRope, likeHeads(nope, keyRope)]);
  }

  /** Cache keys and values of all tokens [B * L], but padding. */
  private append(
    cache: LayerCache,
    key: tf.Tensor4D,
    value: tf.Tensor2D,
    { layout }: Pick<PrefillStep, 'layout'>,
  ): void {
    for (const [name, x] of Object.entries({ key, value })) {
      const byHead = tokensByPart(x, 'all', layout, this.shape.numKeyValueHeads);
      cache.part('all', name).append(byHead);
    }
  }
}

/** As much a head as there is, in the shape of other heads but for the width. */
function likeHeads(x: tf.Tensor, { shape: [a, b, c] }: tf.Tensor4D): tf.Tensor4D {
  return tf.reshape(x, [a, b, c, -1]);
}
