import * as tf from '@tensorflow/tfjs-core';
import type { DecoderCache } from './cache/decoder-cache';
import type { Decoder } from './decoder';
import type { DecoderPrefillOptions } from './run-prefill';
import { prefillStep } from './step';
import type { TokenLayout } from './token-layout';
import { readAndDispose } from './webgpu/device-failure';

/** An embedded prompt. */
export interface PrefillInputs {
  /** [B, L, D], left-padded; stays the caller's. */
  inputsEmbeds: tf.Tensor3D;
  layout: TokenLayout;
  /** [B * L], or [3 * B * L] for M-RoPE. */
  positionIds: Int32Array;
}

/** A layer of a 7B model then needs some 150 MB beside keys and values, whatever the prompt. */
const PIECE_LENGTH = 512;

/**
 * Run prompts into a cache, `pieceLength` tokens (default 512) at a time.
 * @returns logits [B * vocabulary] after the prompts' last tokens.
 * @throws as `Decoder.prefill` does.
 */
export async function prefillLogits(
  decoder: Decoder,
  { inputsEmbeds, layout, positionIds }: PrefillInputs,
  cache: DecoderCache,
  {
    pieceLength = PIECE_LENGTH,
    signal,
    onProgress,
  }: Pick<DecoderPrefillOptions, 'pieceLength' | 'signal' | 'onProgress'> = {},
): Promise<Float32Array> {
  const step = prefillStep(layout, positionIds, decoder.config);
  try {
    const hidden = await decoder.prefill(inputsEmbeds, step, {
      cache,
      pieceLength,
      signal,
      onProgress,
    });
    const logits = tf.tidy(() => {
      const [batch, length, width] = hidden.shape;
      return decoder.logits(tf.slice(hidden, [0, length - 1, 0], [batch, 1, width]));
    });
    hidden.dispose();
    return await readAndDispose(logits);
  } finally {
    step.dispose();
  }
}
