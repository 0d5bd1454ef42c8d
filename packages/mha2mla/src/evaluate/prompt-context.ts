/**
 * Prompts in a cache but for their last tokens. Those, and every answer token, are decoded over it,
 * so that what is scored is the cache as it is stored, quantized or not, from the first answer token
 * on.
 */
import {
  type CacheOptions,
  type DecoderCache,
  prefillStep,
  yieldToEventLoop,
} from '@mha2mla/mla-runtime';
import { type ModelInputs, prepareInputs, type VisionLanguageModel } from '@mha2mla/vlm-adapters';
import type * as tf from '@tensorflow/tfjs-core';
import { withoutLastToken } from './without-last-token';

export interface PromptContext {
  cache: DecoderCache;
  lastTokens: Int32Array;
  lastPositions: Int32Array;
}

/** Prefill prompts. The caller disposes the cache. */
export async function prefillPrompts(
  model: VisionLanguageModel,
  inputs: ModelInputs,
  { cache: cacheOptions, signal }: { cache?: CacheOptions; signal?: AbortSignal },
): Promise<PromptContext> {
  const { family, config, decoder } = model;
  const { nextPositions } = prepareInputs(family, config, inputs);
  const { head, lastTokens } = withoutLastToken(inputs);
  const { layout, positionIds } = prepareInputs(family, config, head);
  const cache = decoder.createCache(inputs.batch, cacheOptions);
  const step = prefillStep(layout, positionIds, config.decoder);
  let embedded: tf.Tensor3D | undefined;
  try {
    embedded = model.embed(head);
    const hidden = await decoder.prefill(embedded, step, { cache, signal });
    hidden.dispose();
  } catch (error) {
    cache.dispose();
    throw error;
  } finally {
    embedded?.dispose();
    step.dispose();
  }
  return { cache, lastTokens, lastPositions: nextPositions.map((position) => position - 1) };
}

/**
 * Logits [B * vocabulary] after `tokens`, which stand `offset` behind the prompts' last ones.
 * @param cache a fork of the context's.
 */
export async function decodeNext(
  { decoder }: VisionLanguageModel,
  { lastPositions }: PromptContext,
  cache: DecoderCache,
  tokens: Int32Array,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  signal?.throwIfAborted();
  const positions = lastPositions.map((position) => position + offset);
  const logits = decoder.decode(tokens, positions, cache);
  const values = (await logits.data()) as Float32Array;
  logits.dispose();
  await yieldToEventLoop();
  return values;
}
