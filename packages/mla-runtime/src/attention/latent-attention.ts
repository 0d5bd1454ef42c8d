/**
 * Multi-head latent attention with a latent per modality (MHA2MLA-VLM, arXiv 2601.11464; absorption as in DeepSeek-V2).
 * Cached a token: kvLatent c [groups, C / groups] and the rotated key kPe [K, R].
 *
 * Prefill is naive: k = [R kPe | Uk c], v = Uv c + bv are materialised. Decode is absorbed: per
 * head a = Ukᵀ q_nope, score = a·c + (bk_m − bk_text)·q_nope + q_rope·kPe, output
 * Σ_m Uv_m (Σ p c) + bv_m Σ p. A key bias common to all tokens shifts every score of a query
 * alike, so softmax cancels it and only the difference of the modalities' biases is kept.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LayerCache } from '../cache/layer-cache';
import { gatherSegment } from '../cache/segment-tokens';
import { type Projection, projectionOf } from '../projection';
import type { DecodeStep, PrefillStep } from '../step';
import { type AbsorbedWeights, absorbWeights, disposeAbsorbed } from './absorbed-weights';
import type { Attention, PrefillOptions, Segment } from './attention';
import { causalAttention } from './causal-attention';
import { concatWidths } from './concat-widths';
import { groupedApply } from './grouped-apply';
import type { HeadShape } from './head-shape';
import { byModality } from './modality';
import { projectRotary, type RotaryProjections } from './rotary-projections';
import { softmaxOverBlocks } from './softmax-over-blocks';

/** Folder of a segment's projections on disk. */
const FOLDER: Record<Segment, string> = {
  all: 'kv_proj',
  vision: 'kv_proj_img',
  text: 'kv_proj_text',
};

export class LatentAttention implements Attention {
  readonly segments: readonly Segment[];
  private readonly absorbed = new Map<Segment, AbsorbedWeights>();
  private readonly scale: number;

  constructor(
    readonly projections: Map<string, Projection>,
    private readonly shape: HeadShape,
    private readonly groups: number,
  ) {
    this.segments = projections.has('kv_proj_img.down_kv') ? ['vision', 'text'] : ['all'];
    this.scale = 1 / Math.sqrt(shape.headDim);
  }

  prefill(x: tf.Tensor3D, step: PrefillStep, options: PrefillOptions = {}): tf.Tensor3D {
    const { cache, observe } = options;
    const { numKeyValueHeads } = this.shape;
    const [batch, length] = x.shape;
    return tf.tidy(() => {
      const parts = projectRotary(x, this.projections, 'k_r_proj', this.shape, step.rotary);
      const latents = new Map<Segment, tf.Tensor3D>();
      const keyValue = byModality(this.segments, step, (segment) => {
        const latent = this.projection(segment, 'down_kv').apply(x) as tf.Tensor3D; // [B, L, C]
        latents.set(segment, latent);
        return this.expand(segment, latent);
      });
      if (cache) this.appendPrompt(cache, latents, parts.keyRope, step);
      const heads = (t: tf.Tensor) =>
        tf.reshape(t, [batch, length, numKeyValueHeads, -1]) as tf.Tensor4D;
      const keyWidth = numKeyValueHeads * this.shape.qkNopeHeadDim;
      const valueWidth = keyValue.shape[2]! - keyWidth;
      const nope = tf.slice(keyValue, [0, 0, 0], [batch, length, keyWidth]);
      const value = tf.slice(keyValue, [0, 0, keyWidth], [batch, length, valueWidth]);
      const query = concatWidths([parts.queryRope, parts.queryNope]);
      const key = keyWidth > 0 ? concatWidths([parts.keyRope, heads(nope)]) : parts.keyRope;
      const { padding } = step;
      const attended = causalAttention(query, key, heads(value), { scale: this.scale, padding });
      const output = projectionOf(this.projections, 'o_proj').apply(attended) as tf.Tensor3D;
      observe?.({ input: x, query: parts.rawQuery, key: parts.rawKey, output });
      return output;
    });
  }

  decode(x: tf.Tensor3D, step: DecodeStep, cache: LayerCache): tf.Tensor3D {
    const { segment } = step;
    return tf.tidy(() => {
      const parts = projectRotary(x, this.projections, 'k_r_proj', this.shape, step.rotary);
      const latent = this.projection(segment, 'down_kv').apply(x) as tf.Tensor3D; // [B, 1, C]
      this.append(cache, segment, latent, flattenHeads(parts.keyRope));
      const attended = this.attendLatents(parts, step, cache); // [B, 1, N * V]
      return projectionOf(this.projections, 'o_proj').apply(attended) as tf.Tensor3D;
    });
  }

  refresh(): void {
    for (const weights of this.absorbed.values()) disposeAbsorbed(weights);
    this.absorbed.clear();
  }

  dispose(): void {
    this.refresh();
    for (const projection of this.projections.values()) projection.dispose();
  }

  /** Absorbed attention of one query a row over every segment and block of the cache. */
  private attendLatents(
    parts: RotaryProjections,
    step: DecodeStep,
    cache: LayerCache,
  ): tf.Tensor3D {
    const filled = this.segments.filter((segment) => step.cache.slotTable(segment).length > 0);
    const tables = filled.map((segment) => step.cache.slotTable(segment));
    const [batch] = parts.queryNope.shape;
    const latents: tf.Tensor4D[][] = [];
    const scores: tf.Tensor[] = [];
    for (const segment of filled) {
      const blocks = cache.part(segment, 'kvLatent').read();
      const keys = cache
        .part(segment, 'kPe')
        .read()
        .map((block) => this.splitKeys(block));
      latents.push(blocks);
      scores.push(...this.scoreSegment(segment, parts, blocks, keys));
    }
    const weights = softmaxOverBlocks(
      scores,
      tables.map((table) => table.mask()),
      tables.map((table) => table.length),
    );
    const outputs: tf.Tensor[] = [];
    for (const [i, segment] of filled.entries()) {
      const own = weights.splice(0, latents[i]!.length);
      outputs.push(this.valuesOf(segment, own, latents[i]!));
    }
    return tf.reshape(tf.addN(outputs), [batch, 1, -1]);
  }

  /** Scores [B, N, T] of each block of a segment. */
  private scoreSegment(
    segment: Segment,
    { queryNope, queryRope }: RotaryProjections,
    latents: readonly tf.Tensor4D[],
    keys: readonly tf.Tensor4D[],
  ): tf.Tensor[] {
    const { numAttentionHeads, numKeyValueHeads, qkRopeHeadDim } = this.shape;
    const [batch] = queryRope.shape;
    const perKey = numAttentionHeads / numKeyValueHeads;
    const weights = this.absorbedOf(segment);
    const nope = weights.absorbQuery(queryNope, this.scale);
    const rope = tf.reshape(tf.mul(queryRope, this.scale), [
      batch,
      numKeyValueHeads,
      perKey,
      qkRopeHeadDim,
    ]);
    return latents.map((latent, i) => {
      const shape = [batch, numAttentionHeads, latent.shape[2]];
      const terms: tf.Tensor[] = [];
      if (nope.query) {
        terms.push(tf.reshape(tf.matMul(nope.query, latent, false, true), shape));
      }
      if (qkRopeHeadDim > 0) {
        terms.push(tf.reshape(tf.matMul(rope, keys[i]!, false, true), shape));
      }
      const score = terms.length === 0 ? tf.zeros(shape) : tf.addN(terms);
      return nope.bias ? tf.add(score, nope.bias) : score;
    });
  }

  /** [B, N, V]: the part of the output that a segment's tokens give. */
  private valuesOf(
    segment: Segment,
    weights: readonly tf.Tensor[],
    latents: readonly tf.Tensor4D[],
  ): tf.Tensor {
    const [batch, groups] = latents[0]!.shape;
    const sums = weights.map((weight, i) =>
      tf.matMul(tf.reshape(weight, [batch, groups, -1, weight.shape[2]!]), latents[i]!),
    ); // [B, groups, N / groups, C / groups]
    const mass = tf.addN(weights.map((weight) => tf.sum(weight, 2, true))); // [B, N, 1]
    return this.absorbedOf(segment).expandValue(tf.addN(sums) as tf.Tensor4D, mass);
  }

  /** [B, L, K * P + K * V]: keys and values of a segment's latents. */
  private expand(segment: Segment, latent: tf.Tensor3D): tf.Tensor {
    const upK = this.projection(segment, 'up_k');
    const upV = this.projection(segment, 'up_v');
    const value = groupedApply(upV, latent, this.groups);
    if (upK.outFeatures === 0) return value;
    return tf.concat([groupedApply(upK, latent, this.groups), value], 2);
  }

  /** The bias of the text keys (or of all), which softmax cancels. */
  private commonKeyBias(): tf.Tensor1D | undefined {
    return this.projection(this.segments.includes('text') ? 'text' : 'all', 'up_k').bias;
  }

  private appendPrompt(
    cache: LayerCache,
    latents: ReadonlyMap<Segment, tf.Tensor3D>,
    keyRope: tf.Tensor4D,
    step: PrefillStep,
  ): void {
    const flatKeys = flattenHeads(keyRope);
    for (const [segment, latent] of latents) {
      this.append(
        cache,
        segment,
        gatherSegment(latent, segment, step.layout),
        gatherSegment(flatKeys, segment, step.layout),
      );
    }
  }

  /**
   * Cache latents [B, T, C] and rotated keys [B, T, K * R]. The keys of all heads lie side by side,
   * so that few rotary dims a head still fill a quantization group.
   */
  private append(
    cache: LayerCache,
    segment: Segment,
    latent: tf.Tensor3D,
    keyRope: tf.Tensor3D,
  ): void {
    const [batch, tokens, width] = latent.shape;
    const grouped = tf.reshape(latent, [batch, tokens, this.groups, width / this.groups]);
    cache.part(segment, 'kvLatent').append(tf.transpose(grouped, [0, 2, 1, 3]) as tf.Tensor4D);
    cache.part(segment, 'kPe').append(tf.expandDims(keyRope, 1) as tf.Tensor4D);
  }

  /** Cached keys [B, 1, T, K * R] as [B, K, T, R]. */
  private splitKeys(block: tf.Tensor4D): tf.Tensor4D {
    const [batch, , tokens] = block.shape;
    const { numKeyValueHeads, qkRopeHeadDim } = this.shape;
    const heads = tf.reshape(block, [batch, tokens, numKeyValueHeads, qkRopeHeadDim]);
    return tf.transpose(heads, [0, 2, 1, 3]) as tf.Tensor4D;
  }

  private absorbedOf(segment: Segment): AbsorbedWeights {
    let weights = this.absorbed.get(segment);
    if (!weights) {
      weights = absorbWeights(this.projection(segment, 'up_k'), this.projection(segment, 'up_v'), {
        ...this.shape,
        groups: this.groups,
        commonKeyBias: this.commonKeyBias(),
      });
      this.absorbed.set(segment, weights);
    }
    return weights;
  }

  private projection(segment: Segment, name: string): Projection {
    return projectionOf(this.projections, `${FOLDER[segment]}.${name}`);
  }
}

/** [B, L, heads, width] to [B, L, heads * width]. */
function flattenHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [batch, length, heads, width] = x.shape;
  return tf.reshape(x, [batch, length, heads * width]);
}
