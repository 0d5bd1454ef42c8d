/**
 * One interface for the three forms of attention: the original, partial RoPE, and MLA. The first
 * two are {@link FullAttention}; the third is {@link LatentAttention}.
 *
 * Letters: B batch, L query length, T cached length, D model width, N query heads, K KV heads,
 * H head dim, R rope dims, P nope dims, V value dims, C latent width.
 */
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { LayerCache } from '../cache/layer-cache';
import type { DecodeStep } from '../decode-step';
import type { Projection } from '../projection';
import type { PrefillStep } from '../step';
import type { PastTokens } from './past-tokens';

/** The parts of a cache that are kept apart: by modality, or all tokens in one. */
export type Segment = 'all' | 'vision' | 'text';

/** What calibration and distillation see of an attention layer, valid only during the call. */
export interface AttentionObservation {
  /** Normalised input of the layer, [B, L, D]. */
  input: Tensor3D;
  /** Queries before rotation, [B, L, N * H] in the row order of the query projection. */
  query: Tensor3D;
  /** Keys before rotation, [B, L, K * (R of this form)]. */
  key: Tensor3D;
  /** Output after the output projection, [B, L, D]. */
  output: Tensor3D;
}

/** Options of `Attention.prefill`. */
export interface PrefillOptions {
  /** Filled with the tokens' keys and values, or latents. */
  cache?: LayerCache;
  /** Of the pieces of the prompt before this one, which adds its own. */
  past?: PastTokens;
  /** Called with what the layer attends by, valid in the call. */
  observe?: (observation: AttentionObservation) => void;
}

/** A layer's attention, in one of its forms: of all heads, or over latents. */
export interface Attention {
  /** Where the cache keeps tokens of this form. */
  readonly segments: readonly Segment[];
  /** Whether a decode step of one query is best a pass of ours over the cache, where both can be had. */
  readonly inOnePass: boolean;
  /** By the name that follows `self_attn.` on disk; replace one to attach an adapter. */
  readonly projections: Map<string, Projection>;
  /** Attend over the prompt, K and V materialised (naive). The caller disposes the result. */
  prefill(x: Tensor3D, step: PrefillStep, options?: PrefillOptions): Tensor3D;
  /**
   * Attend with new tokens over the cache, to which they are appended first.
   * @param rows [B * L, D].
   * @returns [B * L, D]; the caller disposes it.
   */
  decode(rows: Tensor2D, step: DecodeStep, cache: LayerCache): Tensor2D;
  /** Forget what was derived from the projections. Call it after changing one. */
  refresh(): void;
  /** Frees its projections and what was derived from them. */
  dispose(): void;
}
