/**
 * Prompts through all layers of a decoder. A long prompt goes in pieces, layer by layer: what a layer
 * holds at once is that of a piece, and keys and values of earlier pieces are as exact as in one pass,
 * whatever the cache keeps of them. Further tokens of a filled cache go piece by piece instead, as
 * they read what the cache has stored.
 */
import * as tf from '@tensorflow/tfjs-core';
import { PastTokens } from './attention/past-tokens';
import type { DecoderCache } from './cache/decoder-cache';
import { extendStep } from './decode-step';
import type { DecoderConfig } from './decoder-config';
import type { DecoderLayer } from './decoder-layer';
import { cutStep, type PrefillStep } from './step';
import { sliceColumns, sliceLayout } from './token-layout';
import { withoutPadding } from './without-padding';
import { yieldToEventLoop } from './yield-to-event-loop';

/** Tokens of a piece over a filled cache: bounds the scores to B * N * 256 * T floats. */
const FURTHER_TOKENS = 256;

/** Options of `Decoder.prefill`. */
export interface DecoderPrefillOptions {
  cache?: DecoderCache;
  /** Tokens that a layer takes at once: fewer need less memory. Default: all that are given. */
  pieceLength?: number;
  signal?: AbortSignal;
  /**
   * Called with the input of the first layer (0), then each layer's output; valid in the call. Over
   * a filled cache for each piece of the prompt.
   */
  onHidden?: (index: number, hidden: tf.Tensor3D) => void;
  /** Called after each layer, over a filled cache for each piece. */
  onProgress?: (progress: { phase: 'prefill'; loaded: number; total: number }) => void;
}

interface Layers {
  readonly config: DecoderConfig;
  readonly layers: readonly DecoderLayer[];
}

/** @returns the last layer's output [B, L, D]; the caller disposes it. */
export async function runPrefill(
  decoder: Layers,
  inputsEmbeds: tf.Tensor3D,
  step: PrefillStep,
  options: DecoderPrefillOptions,
): Promise<tf.Tensor3D> {
  const { cache, pieceLength } = options;
  if (pieceLength !== undefined && !(Number.isSafeInteger(pieceLength) && pieceLength >= 1)) {
    throw new RangeError(`prefill: pieceLength must be a positive integer, got ${pieceLength}.`);
  }
  const input = withoutPadding(inputsEmbeds, step);
  if (cache?.lengths.some((length) => length > 0)) {
    return extendCache(decoder, input, step, cache, options);
  }
  if (pieceLength === undefined || pieceLength >= step.layout.length) {
    return runLayers(decoder, input, [step], options);
  }
  const pieces = cutStep(step, pieceLength, decoder.config);
  try {
    return await runLayers(decoder, input, pieces, options);
  } finally {
    for (const piece of pieces) piece.dispose();
  }
}

/** @param input [B, L, D]; disposed. */
async function runLayers(
  { layers }: Layers,
  input: tf.Tensor3D,
  pieces: readonly PrefillStep[],
  { cache, signal, onHidden, onProgress }: DecoderPrefillOptions,
): Promise<tf.Tensor3D> {
  for (const { layout, positionIds } of pieces) cache?.reserve(layout, positionIds);
  let hidden = input;
  const outputs: tf.Tensor3D[] = [];
  const past = new PastTokens();
  try {
    onHidden?.(0, hidden);
    for (const [index, layer] of layers.entries()) {
      let start = 0;
      for (const piece of pieces) {
        const { length } = piece.layout;
        const x = sliceTokens(hidden, start, length);
        const own = { cache: cache?.layers[index], past: pieces.length > 1 ? past : undefined };
        outputs.push(layer.prefill(x, piece, own));
        x.dispose();
        start += length;
        if (piece !== pieces.at(-1)) await pause(signal);
      }
      past.dispose();
      hidden.dispose();
      hidden = joinTokens(outputs);
      onHidden?.(index + 1, hidden);
      onProgress?.({ phase: 'prefill', loaded: index + 1, total: layers.length });
      await pause(signal);
    }
    return hidden;
  } catch (error) {
    past.dispose();
    tf.dispose([hidden, ...outputs]);
    throw error;
  }
}

/** @param input [B, L, D]; disposed. */
async function extendCache(
  { layers, config }: Layers,
  input: tf.Tensor3D,
  { layout, positionIds }: PrefillStep,
  cache: DecoderCache,
  { pieceLength = FURTHER_TOKENS, signal, onHidden, onProgress }: DecoderPrefillOptions,
): Promise<tf.Tensor3D> {
  const { length } = layout;
  const total = layers.length * Math.ceil(length / pieceLength);
  const outputs: tf.Tensor3D[] = [];
  let loaded = 0;
  try {
    for (let start = 0; start < length; start += pieceLength) {
      const end = Math.min(length, start + pieceLength);
      const positions = sliceColumns(positionIds, length, start, end);
      const step = extendStep(cache, sliceLayout(layout, start, end), positions, config);
      let hidden = sliceTokens(input, start, end - start);
      try {
        onHidden?.(0, hidden);
        for (const [index, layer] of layers.entries()) {
          const next = layer.decode(hidden, step, cache.layers[index]!);
          hidden.dispose();
          hidden = next;
          onHidden?.(index + 1, hidden);
          onProgress?.({ phase: 'prefill', loaded: ++loaded, total });
          await pause(signal);
        }
        outputs.push(hidden);
      } catch (error) {
        hidden.dispose();
        throw error;
      } finally {
        step.dispose();
      }
    }
    return joinTokens(outputs);
  } catch (error) {
    tf.dispose(outputs);
    throw error;
  } finally {
    input.dispose();
  }
}

/** Tokens of x [B, L, D]; the caller disposes them. */
function sliceTokens(x: tf.Tensor3D, start: number, length: number): tf.Tensor3D {
  if (length === x.shape[1]) return tf.clone(x);
  return tf.slice(x, [0, start, 0], [x.shape[0], length, x.shape[2]]);
}

/** Join [B, l, D] to [B, L, D]; takes them out of the list and disposes them. */
function joinTokens(outputs: tf.Tensor3D[]): tf.Tensor3D {
  const parts = outputs.splice(0);
  if (parts.length === 1) return parts[0]!;
  const joined = tf.concat(parts, 1);
  tf.dispose(parts);
  return joined;
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  await yieldToEventLoop();
  signal?.throwIfAborted();
}
