import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions, VisionEncoder, VlmConfig } from './family';
import { mergeEmbeddings } from './merge-embeddings';
import type { ModelInputs } from './model-inputs';

/** Looks up token embeddings: [B * L] ids and [B, L] to [B, L, D]. */
export type EmbedTokens = (ids: Int32Array, shape: readonly [number, number]) => tf.Tensor3D;

/**
 * Embed a batch's text, and its pictures and videos where it has any.
 * @returns [B, L, D]; the caller disposes it.
 * @throws RangeError when the places of pictures or videos and their features differ in number.
 */
export function embedInputs(
  { imageTokenId, videoTokenId }: VlmConfig,
  embedTokens: EmbedTokens,
  vision: VisionEncoder,
  inputs: ModelInputs,
  options?: EncodeOptions,
): tf.Tensor3D {
  const { inputIds, batch, length, pixelValues, pixelValuesVideos } = inputs;
  return tf.tidy(() => {
    const text = embedTokens(inputIds, [batch, length]);
    const hasMedia = pixelValues !== undefined || pixelValuesVideos !== undefined;
    const { images, videos } = hasMedia ? vision.encode(inputs, options) : {};
    const merged = mergeEmbeddings(text, images, inputIds, imageTokenId, 'image');
    return videoTokenId === undefined
      ? merged
      : mergeEmbeddings(merged, videos, inputIds, videoTokenId, 'video');
  });
}
