/**
 * Multi-head latent attention with a latent per modality (MHA2MLA-VLM, arXiv 2601.11464; absorption as in DeepSeek-V2).
 * Cached a token: kvLatent c [groups, C / groups] and the rotated key kPe [K, R], head by head where it
 * stays exact; packed, the heads lie side by side, so that few rotary dims still fill a group.
 *
 * Prefill is naive: k = [kPe | Uk c + bk], v = Uv c + bv are materialised. Decode is absorbed. A
 * key bias common to all tokens shifts every score of a query alike, so softmax cancels it and only
 * the difference of the modalities' biases is kept. The bias of rotated keys does not cancel; where
 * the cache quantizes them it is left out there and added to the scores.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ArenaVectors } from '../cache/arena-vectors';
import type { LayerCache } from '../cache/layer-cache';
import type { DecodeStep } from '../decode-step';
import { type Projection, projectionOf } from '../projection';
import type { PrefillStep } from '../step';
import { absorbedAttention, type CachedLatents } from './absorbed-attention';
import { type AbsorbedWeights, absorbWeights, disposeAbsorbed } from './absorbed-weights';
import { ArenaWeights, MOST_ARENA_WEIGHTS } from './arena-weights';
import { MOST_PASS_HEADS } from './attend-cached';
import { absorbedInArena } from './attend-in-arena';
import type { Attention, PrefillOptions, Segment } from './attention';
import { causalAttention } from './causal-attention';
import { concatWidths } from './concat-widths';
import { projectForDecode } from './decode-projections';
import { expandedAttention, isWorthExpanding } from './expanded-attention';
import { groupedApply } from './grouped-apply';
import type { HeadShape } from './head-shape';
import { LATENT_FOLDERS } from './latent-folders';
import { byModality } from './modality';
import { headsAsQueries } from './queries-as-heads';
import { rotaryBiasMatrix, rotaryBiasScores, rotatedBias } from './rotary-bias';
import { projectRotary } from './rotary-projections';
import { addOffset } from './softmax-over-blocks';
import { tokensByPart } from './tokens-by-part';
import { rowsOf, tokensLike } from './views';

/** Values of a group's absorbed queries: with more, products of matrices outdo a pass over the cache. */
const MOST_PASS_VALUES = 16384;

interface CachedSegment extends Omit<CachedLatents, 'weights'> {
  segment: Segment;
}

export class LatentAttention implements Attention {
  readonly segments: readonly Segment[];
  private readonly absorbed = new Map<Segment, AbsorbedWeights>();
  private readonly inArena = new Map<Segment, ArenaWeights>();
  private biasMatrix: tf.Tensor3D | undefined;
  private readonly scale: number;
  /** C, of the first segment. */
  private readonly latentWidth: number;
  readonly inOnePass: boolean;

  constructor(
    readonly projections: Map<string, Projection>,
    private readonly shape: HeadShape,
    private readonly groups: number,
  ) {
    this.segments = projections.has('kv_proj_img.down_kv') ? ['vision', 'text'] : ['all'];
    this.scale = 1 / Math.sqrt(shape.headDim);
    this.latentWidth = this.projection(this.segments[0]!, 'down_kv').outFeatures;
    const absorbed = (shape.numAttentionHeads / groups) * (this.latentWidth / groups);
    this.inOnePass = absorbed <= MOST_PASS_VALUES;
  }

  prefill(x: tf.Tensor3D, step: PrefillStep, options: PrefillOptions = {}): tf.Tensor3D {
    const { cache, past, observe } = options;
    return tf.tidy(() => {
      const parts = projectRotary(rowsOf(x), this.projections, 'k_r_proj', this.shape, step.rotary);
      const latents = this.latents(x, step);
      if (cache) this.appendTokens(cache, latents, parts.keyRope, step);
      const query = concatWidths([parts.queryRope, parts.queryNope]);
      const key = concatWidths([parts.keyRope, this.expand('up_k', latents, step)]);
      const value = this.expand('up_v', latents, step);
      const attended = causalAttention(query, key, value, step, this.scale, past);
      const output = tokensLike(x, projectionOf(this.projections, 'o_proj').apply(attended));
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
      const parts = projectForDecode(
        rows,
        this.projections,
        'k_r_proj',
        this.shape,
        step.rotary,
        this.scale,
      );
      this.appendTokens(cache, this.latents(rows, step), parts.keyRope, step);
      const { queryNope, queryRope } = parts;
      const attended = this.attend(
        queryNope,
        queryRope,
        this.cachedLatents(step, cache, queryRope),
      );
      const output = headsAsQueries(attended, [batch, length]);
      return projectionOf(this.projections, 'o_proj').apply(output) as tf.Tensor2D;
    });
  }

  refresh(): void {
    for (const weights of this.absorbed.values()) disposeAbsorbed(weights);
    this.absorbed.clear();
    for (const weights of this.inArena.values()) weights.dispose();
    this.inArena.clear();
    this.biasMatrix?.dispose();
    this.biasMatrix = undefined;
  }

  dispose(): void {
    this.refresh();
    for (const projection of this.projections.values()) projection.dispose();
  }

  /** @returns [B, N, V], for one row and one segment perhaps [K, G, V]. */
  private attend(
    queryNope: tf.Tensor4D,
    queryRope: tf.Tensor4D,
    segments: readonly CachedSegment[],
  ): tf.Tensor3D {
    const { headDim, numKeyValueHeads, qkRopeHeadDim } = this.shape;
    const heads = queryNope.shape[1] * queryNope.shape[2];
    const tokens = segments.reduce((sum, { latents }) => sum + latents.length, 0);
    const widths = {
      width: this.latentWidth / this.groups,
      rope: qkRopeHeadDim,
      valueDim: headDim,
    };
    if (isWorthExpanding(queryNope, tokens, widths)) {
      const expandable = segments.map(({ segment, ...cached }) => ({
        ...cached,
        upKey: this.projection(segment, 'up_k'),
        upValue: this.projection(segment, 'up_v'),
      }));
      return expandedAttention(queryNope, queryRope, expandable, this.groups);
    }
    const small =
      numKeyValueHeads * headDim * (this.latentWidth / this.groups) <= MOST_ARENA_WEIGHTS;
    if (small && heads <= MOST_PASS_HEADS && segments.every(isInArena)) {
      const latents = segments.map(({ segment, ...cached }) => ({
        ...cached,
        weights: this.arenaOf(segment),
      }));
      return absorbedInArena(queryNope, queryRope, latents, headDim);
    }
    return absorbedAttention(
      queryNope,
      queryRope,
      segments.map(({ segment, ...cached }) => ({ ...cached, weights: this.absorbedOf(segment) })),
    );
  }

  /** What the cache holds of each segment that has tokens. */
  private cachedLatents(
    step: DecodeStep,
    cache: LayerCache,
    queryRope: tf.Tensor4D,
  ): CachedSegment[] {
    const filled = this.segments.filter((segment) => step.cache.slotTable(segment).length > 0);
    return filled.map((segment) => ({
      segment,
      latents: cache.part(segment, 'kvLatent'),
      keys: cache.part(segment, 'kPe'),
      offset: this.scoreOffset(segment, step, cache, queryRope),
    }));
  }

  /** The bias of the rotated keys where the cache leaves it out: a quantized one does. */
  private biasLeftOut(cache: LayerCache, segment: Segment): tf.Tensor1D | undefined {
    if (this.shape.qkRopeHeadDim === 0 || cache.part(segment, 'kPe').exact) return undefined;
    return projectionOf(this.projections, 'k_r_proj').bias;
  }

  /** What is added to the scores of a segment's slots, [B, 1 or N, T] or [B, 1 or N, L, T]. */
  private scoreOffset(
    segment: Segment,
    step: DecodeStep,
    cache: LayerCache,
    queryRope: tf.Tensor4D,
  ): tf.Tensor3D | tf.Tensor4D | undefined {
    const bias = this.biasLeftOut(cache, segment);
    const mask = step.mask(segment);
    if (!bias) return mask;
    this.biasMatrix ??= tf.keep(rotaryBiasMatrix(bias, this.shape));
    const scores = rotaryBiasScores(
      queryRope,
      this.biasMatrix,
      step.cache.angles.lookup(segment, step.cache.slotTable(segment), step.config),
    );
    return mask ? addOffset(scores, mask) : scores;
  }

  /** Latents of all tokens, [B, L, C] or [B * L, C] as x, for each segment that has some. */
  private latents<T extends tf.Tensor>(x: T, step: Pick<PrefillStep, 'only'>): Map<Segment, T> {
    const present = this.segments.filter((s) => s === 'all' || s === (step.only ?? s));
    return new Map(
      present.map((segment) => [segment, this.projection(segment, 'down_kv').apply(x) as T]),
    );
  }

  /** Nope keys [B, L, K, P] or values [B, L, K, V], each token's by its own segment. */
  private expand(
    name: 'up_k' | 'up_v',
    latents: ReadonlyMap<Segment, tf.Tensor3D>,
    step: PrefillStep,
  ): tf.Tensor4D {
    const { batch, length } = step.layout;
    const flat = byModality([...latents.keys()], step, (segment) =>
      groupedApply(this.projection(segment, name), latents.get(segment)!, this.groups),
    );
    const { numKeyValueHeads } = this.shape;
    const width = flat.shape[2]! / numKeyValueHeads;
    return tf.reshape(flat, [batch, length, numKeyValueHeads, width]) as tf.Tensor4D;
  }

  /** The bias of the text keys (or of all), which softmax cancels. */
  private commonKeyBias(): tf.Tensor1D | undefined {
    return this.projection(this.segments.includes('text') ? 'text' : 'all', 'up_k').bias;
  }

  private appendTokens(
    cache: LayerCache,
    latents: ReadonlyMap<Segment, tf.Tensor>,
    keyRope: tf.Tensor4D,
    step: Pick<PrefillStep, 'layout' | 'rotary'>,
  ): void {
    const { layout } = step;
    for (const [segment, latent] of latents) {
      const kept = this.keyToCache(keyRope, cache, segment, step);
      const keys = cache.part(segment, 'kPe');
      const parts = keys.exact ? this.shape.numKeyValueHeads : 1;
      cache.part(segment, 'kvLatent').append(tokensByPart(latent, segment, layout, this.groups));
      keys.append(tokensByPart(kept, segment, layout, parts));
    }
  }

  /** Rotated keys, [B, L, K, R] or [B, K, 1, R], as the cache keeps them. */
  private keyToCache(
    keyRope: tf.Tensor4D,
    cache: LayerCache,
    segment: Segment,
    { rotary }: Pick<PrefillStep, 'rotary'>,
  ): tf.Tensor4D {
    const bias = this.biasLeftOut(cache, segment);
    if (!bias) return keyRope;
    return tf.sub(keyRope, tf.reshape(rotatedBias(bias, this.shape, rotary), keyRope.shape));
  }

  private absorbedOf(segment: Segment): AbsorbedWeights {
    let weights = this.absorbed.get(segment);
    if (!weights) {
      weights = this.absorb(segment);
      this.absorbed.set(segment, weights);
    }
    return weights;
  }

  private arenaOf(segment: Segment): ArenaWeights {
    let weights = this.inArena.get(segment);
    if (!weights) {
      const absorbed = this.absorb(segment);
      weights = new ArenaWeights(absorbed);
      disposeAbsorbed(absorbed);
      this.inArena.set(segment, weights);
    }
    return weights;
  }

  private absorb(segment: Segment): AbsorbedWeights {
    return absorbWeights(this.projection(segment, 'up_k'), this.projection(segment, 'up_v'), {
      ...this.shape,
      groups: this.groups,
      commonKeyBias: this.commonKeyBias(),
    });
  }

  private projection(segment: Segment, name: string): Projection {
    return projectionOf(this.projections, `${LATENT_FOLDERS[segment]}.${name}`);
  }
}

function isInArena(
  cached: CachedSegment,
): cached is CachedSegment & { latents: ArenaVectors; keys: ArenaVectors } {
  return cached.latents instanceof ArenaVectors && cached.keys instanceof ArenaVectors;
}
