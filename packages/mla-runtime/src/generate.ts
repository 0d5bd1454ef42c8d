/**
 * Autoregressive generation: prefill the prompts into a cache, then decode one token a row at a
 * time. Yields as it goes; leaving the loop, an error or an abort frees the cache.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { CacheOptions } from './cache/cache-options';
import type { DecoderCache } from './cache/decoder-cache';
import type { Decoder } from './decoder';
import { checkSamplingOptions, type SamplingOptions, sampleToken } from './sample';
import { prefillStep } from './step';
import { PADDING, type TokenLayout } from './token-layout';
import { readValues } from './webgpu/device-failure';
import { yieldToEventLoop } from './yield-to-event-loop';

export interface GenerateInputs {
  /** [B, L, D], left-padded; stays the caller's. */
  inputsEmbeds: tf.Tensor3D;
  layout: TokenLayout;
  /** [B * L], or [3 * B * L] for M-RoPE. */
  positionIds: Int32Array;
  /** Position of each row's first new token, on every axis. */
  nextPositions: Int32Array;
}

export interface GenerateOptions extends SamplingOptions {
  /** Most new tokens a row. Default 128. */
  maxTokens?: number;
  /** A row stops after one of these; none given, rows run to `maxTokens`. */
  eosTokenIds?: readonly number[];
  /** Each row's prompt, padding left out: said already, for a repetition penalty. */
  promptIds?: readonly ArrayLike<number>[];
  cache?: CacheOptions;
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'prefill'; loaded: number; total: number }) => void;
}

export interface GenerateStep {
  /** [B]: the new token of each row; of a row that has stopped, -1. */
  tokens: Int32Array;
  /** Logits that chose them, [B * vocabulary]. */
  logits: Float32Array;
  cache: DecoderCache;
}

/** @returns a generator of steps; it ends when every row has stopped or `maxTokens` is reached. */
export async function* generate(
  decoder: Decoder,
  inputs: GenerateInputs,
  options: GenerateOptions = {},
): AsyncGenerator<GenerateStep> {
  const { maxTokens = 128, eosTokenIds = [], promptIds = [], signal } = options;
  const { batch } = inputs.layout;
  checkInputs(inputs, maxTokens);
  checkSamplingOptions(options);
  const cache = decoder.createCache(batch, options.cache);
  const stopped = new Uint8Array(batch);
  const said = Array.from({ length: batch }, (_, row) => new Set(Array.from(promptIds[row] ?? [])));
  try {
    let logits = await prefillLogits(decoder, inputs, cache, options);
    for (let produced = 1; produced <= maxTokens; produced++) {
      const chosen = chooseTokens(logits, said, options);
      const tokens = chosen.map((token, row) => (stopped[row] ? -1 : token));
      yield { tokens, logits, cache };
      for (let row = 0; row < batch; row++) {
        said[row]!.add(chosen[row]!);
        if (eosTokenIds.includes(chosen[row]!)) stopped[row] = 1;
      }
      if (produced === maxTokens || stopped.every((flag) => flag === 1)) return;
      signal?.throwIfAborted();
      logits = await decodeLogits(decoder, inputs, chosen, produced - 1, cache);
      await yieldToEventLoop();
      signal?.throwIfAborted();
    }
  } finally {
    cache.dispose();
  }
}

/** What would otherwise go wrong only after the prefill, or without a word. @throws RangeError */
function checkInputs({ layout, nextPositions }: GenerateInputs, maxTokens: number): void {
  const { batch, length, kinds } = layout;
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new RangeError(`generate: maxTokens must be a positive integer, got ${maxTokens}.`);
  }
  if (nextPositions.length !== batch && nextPositions.length !== 3 * batch) {
    throw new RangeError(
      `generate: nextPositions must hold 1 or 3 positions for each of ${batch} rows, got ${nextPositions.length}.`,
    );
  }
  for (let row = 0; row < batch; row++) {
    if (kinds[(row + 1) * length - 1] !== PADDING) continue;
    throw new RangeError(
      `generate: prompts must be left-padded and hold a token, got padding at the end of row ${row}.`,
    );
  }
}

function chooseTokens(
  logits: Float32Array,
  said: readonly ReadonlySet<number>[],
  options: SamplingOptions,
): Int32Array {
  const vocabulary = logits.length / said.length;
  return Int32Array.from(said, (tokens, row) => {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    return sampleToken(own, options, tokens);
  });
}

/** Logits [B * vocabulary] after the prompts' last tokens. */
async function prefillLogits(
  decoder: Decoder,
  { inputsEmbeds, layout, positionIds }: GenerateInputs,
  cache: DecoderCache,
  { signal, onProgress }: GenerateOptions,
): Promise<Float32Array> {
  const step = prefillStep(layout, positionIds, decoder.config);
  try {
    const hidden = await decoder.prefill(inputsEmbeds, step, { cache, signal, onProgress });
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

async function decodeLogits(
  decoder: Decoder,
  { nextPositions }: GenerateInputs,
  tokens: Int32Array,
  offset: number,
  cache: DecoderCache,
): Promise<Float32Array> {
  const positions = nextPositions.map((position) => position + offset);
  return readAndDispose(decoder.decode(tokens, positions, cache));
}

async function readAndDispose(tensor: tf.Tensor): Promise<Float32Array> {
  try {
    return (await readValues(tensor)) as Float32Array;
  } finally {
    tensor.dispose();
  }
}
