/**
 * What all layers of one pass share: rotary tables, masks, and where each token goes. A prefill
 * step is made from a layout, a decode step from the cache that it extends.
 */
import * as tf from '@tensorflow/tfjs-core';
import { branchMask } from './attention/branch-mask';
import { causalMask, MASKED } from './attention/causal-attention';
import type { DecoderCache } from './cache/decoder-cache';
import type { DecoderConfig } from './decoder-config';
import { type RotaryTable, rotaryTable } from './rotary';
import { PADDING, TEXT, type TokenLayout, VISION } from './token-layout';

export interface PrefillStep {
  readonly layout: TokenLayout;
  /** [B * L], or [3 * B * L] for M-RoPE. */
  readonly positionIds: Int32Array;
  readonly rotary: RotaryTable;
  /** Where a key lies after its query; see `causalMask`. */
  readonly causal: tf.Tensor2D;
  /** [B, 1, 1, L], 0 or MASKED; absent when nothing is padded. */
  readonly padding?: tf.Tensor4D;
  /** [B, 1, L, L], MASKED where a key is of another branch; absent when rows do not branch. */
  readonly branches?: tf.Tensor4D;
  /** [B, L, 1], 1 where a token is vision; absent when all tokens are of one modality. */
  readonly vision?: tf.Tensor3D;
  /** The modality of all tokens, where there is but one. */
  readonly only?: 'vision' | 'text';
  dispose(): void;
}

export interface PrefillStepOptions {
  /**
   * Several continuations of one beginning in a row, [B * L]: 0 on the trunk, which all see, else
   * the number of a branch, which sees the trunk and itself. Such a row fills no cache.
   */
  branches?: Int32Array;
}

export interface DecodeStep {
  readonly rotary: RotaryTable;
  readonly cache: DecoderCache;
  readonly config: DecoderConfig;
  /** Of the new tokens. */
  readonly modality: 'vision' | 'text';
  dispose(): void;
}

/**
 * Prepare a pass over whole prompts.
 * @param positionIds [B * L], or [3 * B * L] for M-RoPE.
 */
export function prefillStep(
  layout: TokenLayout,
  positionIds: Int32Array,
  config: DecoderConfig,
  options: PrefillStepOptions = {},
): PrefillStep {
  const { batch, length, kinds } = layout;
  const branches = options.branches && branchMask(options.branches, [batch, length]);
  const rotary = rotaryTable(positionIds, [batch, length], config);
  const hasVision = kinds.includes(VISION);
  const hasText = kinds.includes(TEXT);
  const padding = kinds.includes(PADDING)
    ? tf.tensor4d(
        mapKinds(kinds, (kind) => (kind === PADDING ? MASKED : 0)),
        [batch, 1, 1, length],
      )
    : undefined;
  const vision =
    hasVision && hasText
      ? tf.tensor3d(
          mapKinds(kinds, (kind) => (kind === VISION ? 1 : 0)),
          [batch, length, 1],
        )
      : undefined;
  const causal = causalMask(length);
  const only = vision ? undefined : hasVision ? 'vision' : 'text';
  return {
    layout,
    positionIds,
    rotary,
    causal,
    padding,
    branches,
    vision,
    only,
    dispose: () => tf.dispose({ ...rotary, causal, padding, branches, vision }),
  };
}

function mapKinds(kinds: Uint8Array, value: (kind: number) => number): Float32Array {
  return Float32Array.from(kinds, value);
}

/**
 * Prepare a pass of one new token a row, and make room for it in the cache.
 * @param positionIds [B], or [3 * B] for M-RoPE.
 * @param modality of the new tokens; generated ones are text.
 */
export function decodeStep(
  cache: DecoderCache,
  positionIds: Int32Array,
  config: DecoderConfig,
  modality: 'vision' | 'text' = 'text',
): DecodeStep {
  const rotary = rotaryTable(positionIds, [cache.batch, 1], config);
  cache.reserveToken(positionIds, modality);
  return { rotary, cache, config, modality, dispose: () => tf.dispose([rotary.cos, rotary.sin]) };
}
