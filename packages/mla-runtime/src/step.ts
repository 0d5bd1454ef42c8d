/**
 * What all layers of a pass over prompts share: rotary tables, masks, where each token goes. T counts
 * the keys, L the queries; a piece of a prompt has fewer of these, otherwise they are equal.
 */
import * as tf from '@tensorflow/tfjs-core';
import { branchMask } from './attention/branch-mask';
import { causalMask, MASKED } from './attention/causal-attention';
import type { DecoderConfig } from './decoder-config';
import { type RotaryTable, rotaryTable } from './rotary';
import {
  onlyModality,
  PADDING,
  sliceColumns,
  sliceLayout,
  type TokenLayout,
  VISION,
} from './token-layout';

/** What all layers share in a prefill. */
export interface PrefillStep {
  readonly layout: TokenLayout;
  /** [B * L], or [3 * B * L] for M-RoPE. */
  readonly positionIds: Int32Array;
  readonly rotary: RotaryTable;
  /** Where a key lies after its query; see `causalMask`. */
  readonly causal: tf.Tensor2D;
  /** [B, 1, 1, T], 0 or MASKED; absent when nothing is padded. */
  readonly padding?: tf.Tensor4D;
  /** [B, 1, L, T], MASKED where a key is of another branch; absent when rows do not branch. */
  readonly branches?: tf.Tensor4D;
  /** [B, L, 1], 1 where a token is vision; absent when all tokens are of one modality. */
  readonly vision?: tf.Tensor3D;
  /** The modality of all tokens, where there is but one. */
  readonly only?: 'vision' | 'text';
  /** Frees what was made for the step. */
  dispose(): void;
}

/** Options of `prefillStep`. */
export interface PrefillStepOptions {
  /**
   * Several continuations of one beginning in a row, [B * L]: 0 on the trunk, which all see, else
   * the number of a branch, which sees the trunk and itself. Such a row fills no cache.
   */
  branches?: Int32Array;
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
  return assembleStep(layout, positionIds, config, {
    branches: options.branches && branchMask(options.branches, [batch, length]),
    causal: causalMask(length),
    padding: kinds.includes(PADDING) ? paddingMask(layout) : undefined,
  });
}

/**
 * Cut a step into pieces, of which each sees those before it.
 * @param pieceLength tokens a piece; the last has what is left.
 * @returns steps of their own; the caller disposes them.
 */
export function cutStep(
  { layout, positionIds, padding, branches }: PrefillStep,
  pieceLength: number,
  config: DecoderConfig,
): PrefillStep[] {
  const { batch, length } = layout;
  const starts = Array.from(
    { length: Math.ceil(length / pieceLength) },
    (_, index) => index * pieceLength,
  );
  return starts.map((start) => {
    const end = Math.min(length, start + pieceLength);
    return assembleStep(
      sliceLayout(layout, start, end),
      sliceColumns(positionIds, length, start, end),
      config,
      {
        causal: causalMask(end - start, start),
        padding: padding && tf.slice(padding, [0, 0, 0, 0], [batch, 1, 1, end]),
        branches: branches && tf.slice(branches, [0, 0, start, 0], [batch, 1, end - start, end]),
      },
    );
  });
}

function assembleStep(
  layout: TokenLayout,
  positionIds: Int32Array,
  config: DecoderConfig,
  masks: Pick<PrefillStep, 'causal' | 'padding' | 'branches'>,
): PrefillStep {
  const { batch, length, kinds } = layout;
  const rotary = rotaryTable(positionIds, [batch, length], config);
  const only = onlyModality(layout);
  const vision = only
    ? undefined
    : tf.tensor3d(
        Float32Array.from(kinds, (kind) => (kind === VISION ? 1 : 0)),
        [batch, length, 1],
      );
  return {
    ...masks,
    layout,
    positionIds,
    rotary,
    vision,
    only,
    dispose: () => tf.dispose({ ...rotary, ...masks, vision }),
  };
}

function paddingMask({ batch, length, kinds }: TokenLayout): tf.Tensor4D {
  const mask = Float32Array.from(kinds, (kind) => (kind === PADDING ? MASKED : 0));
  return tf.tensor4d(mask, [batch, 1, 1, length]);
}
