/**
 * The one decoder that the language models of all families are: embedding, layers, final norm and
 * head. Run it whole (`prefill`, `decode`), or take its `layers` one by one.
 */
import * as tf from '@tensorflow/tfjs-core';
import { rowsOf } from './attention/views';
import type { CacheOptions } from './cache/cache-options';
import { DecoderCache } from './cache/decoder-cache';
import { decodeStep } from './decode-step';
import type { DecoderConfig } from './decoder-config';
import type { DecoderLayer } from './decoder-layer';
import { type EmbeddingTable, lookupEmbeddings } from './lookup-embeddings';
import type { Projection } from './projection';
import { rmsNorm } from './rms-norm';
import { type DecoderPrefillOptions, runPrefill } from './run-prefill';
import type { PrefillStep } from './step';
import { forgetRecording } from './webgpu/shared-recording';
import { withoutPadding } from './without-padding';

/** What a `Decoder` is made of and owns from then on. */
export interface DecoderParts {
  config: DecoderConfig;
  /** [vocabulary, D]. */
  embedTokens: EmbeddingTable;
  layers: readonly DecoderLayer[];
  norm: tf.Tensor1D;
  lmHead: Projection;
}

/** A language model: embeddings, layers, norm and head. */
export class Decoder {
  readonly config: DecoderConfig;
  readonly layers: readonly DecoderLayer[];

  constructor(private readonly parts: DecoderParts) {
    this.config = parts.config;
    this.layers = parts.layers;
  }

  /** Look up token embeddings. @param ids [B * L]. @returns [B, L, D]; the caller disposes it. */
  embed(ids: Int32Array, [batch, length]: readonly [number, number]): tf.Tensor3D {
    return lookupEmbeddings(this.parts.embedTokens, ids, [batch, length]);
  }

  /** An empty cache for this decoder, of a number of rows; the caller disposes it. */
  createCache(batch: number, options?: CacheOptions): DecoderCache {
    const segments = new Set(this.layers.flatMap(({ attention }) => attention.segments));
    const keepsAngles = this.layers.some(
      ({ attention }) => attention.projections.get('k_r_proj')?.bias !== undefined,
    );
    return DecoderCache.create(batch, this.layers.length, [...segments], options, {
      keepsAngles,
      inOnePass: (layer) => this.layers[layer]!.attention.inOnePass,
    });
  }

  /**
   * Run prompts through all layers, handing the thread back between layers and pieces. Over a cache
   * that holds tokens they are further tokens, attending to those as `decode` does: one by one or all
   * at once is the same.
   * @param inputsEmbeds [B, L, D]; stays the caller's.
   * @returns the last layer's output [B, L, D], before the final norm; the caller disposes it.
   * @throws the signal's reason when aborted; RangeError where rows that branch shall fill a cache.
   *   Whatever it throws, the cache is as it was.
   */
  async prefill(
    inputsEmbeds: tf.Tensor3D,
    step: PrefillStep,
    options: DecoderPrefillOptions = {},
  ): Promise<tf.Tensor3D> {
    const { cache, signal } = options;
    signal?.throwIfAborted();
    if (cache && step.branches) {
      throw new RangeError(
        'prefill: a cache holds one continuation a row, got rows that branch. Leave the cache out.',
      );
    }
    const before = cache?.fork();
    try {
      return await runPrefill(this, inputsEmbeds, step, options);
    } catch (error) {
      if (before) cache?.restore(before);
      throw error;
    } finally {
      before?.dispose();
    }
  }

  /**
   * The same without a pause and within one tape, for training.
   * @returns each layer's output [B, L, D]; the caller disposes them.
   */
  prefillSync(inputsEmbeds: tf.Tensor3D, step: PrefillStep): tf.Tensor3D[] {
    return tf.tidy(() => {
      const outputs: tf.Tensor3D[] = [];
      const input = withoutPadding(inputsEmbeds, step);
      for (const layer of this.layers) outputs.push(layer.prefill(outputs.at(-1) ?? input, step));
      return outputs;
    });
  }

  /**
   * Run one new token a row over the cache.
   * @param ids [B].
   * @param positionIds [B], or [3 * B] for M-RoPE.
   * @returns logits [B, vocabulary]; the caller disposes them.
   */
  decode(ids: Int32Array, positionIds: Int32Array, cache: DecoderCache): tf.Tensor2D {
    return tf.tidy(() => {
      const embedded = this.embed(ids, [cache.batch, 1]); // may throw, before the cache changes
      const step = decodeStep(cache, positionIds, this.config);
      const hidden = this.layers.reduce(
        (rows, layer, index) => layer.decode(rows, step, cache.layers[index]!),
        rowsOf(embedded),
      );
      return this.logits(hidden) as tf.Tensor2D;
    });
  }

  /** [vocabulary, D]. */
  get embedTokens(): EmbeddingTable {
    return this.parts.embedTokens;
  }

  /** D to vocabulary. */
  get lmHead(): Projection {
    return this.parts.lmHead;
  }

  /** The weight of the final norm, [D]. */
  get norm(): tf.Tensor1D {
    return this.parts.norm;
  }

  /** Put another weight [D] in the place of the final norm's; nothing is disposed. */
  setNorm(weight: tf.Tensor1D): void {
    this.parts.norm = weight;
  }

  /** The final norm, [..., D] to [..., D]. */
  finalNorm<T extends tf.Tensor>(hidden: T): T {
    return rmsNorm(hidden, this.parts.norm, this.config.rmsNormEps);
  }

  /** Final norm and head, [..., D] to [..., vocabulary]; the caller disposes the result. */
  logits(hidden: tf.Tensor): tf.Tensor {
    return tf.tidy(() => this.parts.lmHead.apply(this.finalNorm(hidden)));
  }

  /** Forget what was derived from projections. Call it after changing or training one. */
  refresh(): void {
    for (const layer of this.layers) layer.attention.refresh();
    forgetRecording(this);
  }

  /** Frees all weights. */
  dispose(): void {
    forgetRecording(this);
    for (const layer of this.layers) layer.dispose();
    this.parts.lmHead.dispose();
    this.parts.embedTokens.dispose();
    this.parts.norm.dispose();
  }
}
