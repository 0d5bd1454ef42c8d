/**
 * A loaded vision-language model: vision encoder and decoder, used as one. Its processor is loaded
 * apart (`source.family.loadProcessor`), since prepared inputs need none.
 */
import {
  type Decoder,
  type GenerateOptions,
  type GenerateStep,
  generate,
  type LoadDecoderOptions,
  loadDecoder,
  loadingReader,
} from '@mha2mla/mla-runtime';
import type * as tf from '@tensorflow/tfjs-core';
import { type AssertFitsOptions, assertFits } from './assert-fits';
import { embedInputs, embedInputsPaused } from './embed-inputs';
import { assertComplete } from './expected-tensors';
import type { EncodeOptions, VisionEncoder, VlmConfig, VlmFamily } from './family';
import { loadOwned } from './load-owned';
import type { ModelInputs } from './model-inputs';
import type { VlmSource } from './open-vlm';
import { prepareInputs } from './prepare-inputs';
import type { RunStepsOptions } from './vision/encode-steps';

/** A decoder and a vision tower, and how their embeddings are merged. */
export class VisionLanguageModel {
  private constructor(
    readonly family: VlmFamily,
    readonly config: VlmConfig,
    readonly vision: VisionEncoder,
    readonly decoder: Decoder,
  ) {}

  /**
   * Load everything that a source names. The caller disposes the model.
   * @param options `weights`: how matrices are kept, those of the vision tower too.
   * @throws RangeError for weights that are missing, of another shape or not finite, by name, and
   *   before any is read for those that the backend cannot hold; the signal's reason when aborted,
   *   between two reads.
   */
  static async load(
    source: VlmSource,
    options: LoadDecoderOptions & Pick<AssertFitsOptions, 'memoryBytes'> = {},
  ): Promise<VisionLanguageModel> {
    assertComplete(source);
    assertFits(source, options);
    const { family, config, weights } = source;
    const reader = loadingReader(weights, options);
    return loadOwned(async (own) => {
      const vision = own(await family.loadVision(config, reader));
      const decoder = await loadDecoder(config.decoder, reader, options);
      return new VisionLanguageModel(family, config, vision, decoder);
    });
  }

  /** Embed a batch, [B, L, D]; the caller disposes it. */
  embed(inputs: ModelInputs, options?: EncodeOptions): tf.Tensor3D {
    const embedTokens = this.decoder.embed.bind(this.decoder);
    return embedInputs(this.config, embedTokens, this.vision, inputs, options);
  }

  /** The same, handing the thread back between the layers of the vision encoder. */
  embedPaused(inputs: ModelInputs, options?: RunStepsOptions): Promise<tf.Tensor3D> {
    const embedTokens = this.decoder.embed.bind(this.decoder);
    return embedInputsPaused(this.config, embedTokens, this.vision, inputs, options);
  }

  /** Continue a batch of prompts, token by token; stops at the model's end tokens by default. */
  async *generate(
    inputs: ModelInputs,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateStep> {
    const inputsEmbeds = this.embed(inputs);
    try {
      const prepared = prepareInputs(this.family, this.config, inputs);
      const { eosTokenIds } = this.config;
      const { batch, length, inputIds, attentionMask } = inputs;
      const promptIds = Array.from({ length: batch }, (_, row) =>
        inputIds.filter((_, i) => Math.floor(i / length) === row && attentionMask[i] !== 0),
      );
      yield* generate(
        this.decoder,
        { inputsEmbeds, ...prepared },
        { eosTokenIds, promptIds, ...options },
      );
    } finally {
      inputsEmbeds.dispose();
    }
  }

  /** Frees all weights. */
  dispose(): void {
    this.vision.dispose();
    this.decoder.dispose();
  }

  /** `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
