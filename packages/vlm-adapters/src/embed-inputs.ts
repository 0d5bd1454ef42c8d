import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions, VisionEncoder, VlmConfig } from './family';
import { mergeEmbeddings } from './merge-embeddings';
import type { ModelInputs } from './model-inputs';

/** Looks up token embeddings: [B * L] ids and [B, L] to [B, L, D]. */
export type EmbedTokens = (ids: Int32Array, shape: readonly [number, number]) => tf.Tensor3D;

/**
 * Embed a batch's text, and its pictures where it has any.
 * @returns [B, L, D]; the caller disposes it.
 */
export function embedInputs(
  config: VlmConfig,
  embedTokens: EmbedTokens,
  vision: VisionEncoder,
  inputs: ModelInputs,
  options?: EncodeOptions,
): tf.Tensor3D {
  const { inputIds, batch, length, pixelValues } = inputs;
  return tf.tidy(() => {
    const text = embedTokens(inputIds, [batch, length]);
    const pictures = pixelValues?.shape[0] ?? 0;
    const features =
      pictures > 0
        ? vision.encode(inputs, options)
        : tf.zeros<tf.Rank.R2>([0, config.decoder.hiddenSize]);
    if (pictures === 0 && !inputIds.includes(config.imageTokenId)) return text;
    return mergeEmbeddings(text, features, inputIds, config.imageTokenId);
  });
}
