/** What all layers share of a pass of further tokens over a cache, which it extends. */
import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from './attention/attention';
import type { DecoderCache } from './cache/decoder-cache';
import { sequencePositions } from './cache/segment-tokens';
import type { DecoderConfig } from './decoder-config';
import { type RotaryTable, rotaryTable } from './rotary';
import { onlyModality, TEXT, type TokenLayout, VISION } from './token-layout';

/** What all layers share in a step over the cache. */
export interface DecodeStep {
  /** Of the new tokens, L a row. */
  readonly layout: TokenLayout;
  readonly rotary: RotaryTable;
  readonly cache: DecoderCache;
  readonly config: DecoderConfig;
  /** The modality of all new tokens, where there is but one. */
  readonly only?: 'vision' | 'text';
  /**
   * What the new tokens do not see of a segment, [B, 1, T], or [B, 1, L, T] for several a row;
   * `undefined` where they see all of it. Owned by the step.
   */
  mask(segment: Segment): tf.Tensor3D | tf.Tensor4D | undefined;
  /** Frees what was made for the step, not the cache. */
  dispose(): void;
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
  const kinds = new Uint8Array(cache.batch).fill(modality === 'vision' ? VISION : TEXT);
  return extendStep(cache, { batch: cache.batch, length: 1, kinds }, positionIds, config);
}

/**
 * Prepare a pass of several new tokens a row, and make room for them in the cache.
 * @param layout of the new tokens, left-padded where rows have fewer.
 * @param positionIds [B * L], or [3 * B * L] for M-RoPE.
 */
export function extendStep(
  cache: DecoderCache,
  layout: TokenLayout,
  positionIds: Int32Array,
  config: DecoderConfig,
): DecodeStep {
  const { batch, length } = layout;
  const rotary = rotaryTable(positionIds, [batch, length], config);
  const queries = sequencePositions(layout, cache.lengths);
  cache.reserve(layout, positionIds);
  const masks = new Map<Segment, tf.Tensor4D>();
  return {
    layout,
    rotary,
    cache,
    config,
    only: onlyModality(layout),
    mask(segment) {
      const slots = cache.slotTable(segment);
      if (length === 1) return slots.mask();
      const mask = masks.get(segment) ?? tf.keep(slots.causalMask(queries));
      masks.set(segment, mask);
      return mask;
    },
    dispose: () => tf.dispose([rotary.cos, rotary.sin, ...masks.values()]),
  };
}
