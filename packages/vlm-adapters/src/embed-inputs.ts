import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions, VisionEncoder, VisionFeatures, VlmConfig } from './family';
import { mergeEmbeddings } from './merge-embeddings';
import type { ModelInputs } from './model-inputs';
import { type RunStepsOptions, runPaused } from './vision/encode-steps';

/** Looks up token embeddings: [B * L] ids and [B, L] to [B, L, D]. */
export type EmbedTokens = (ids: Int32Array, shape: readonly [number, number]) => tf.Tensor3D;

/**
 * Embed a batch's text, and its pictures and videos where it has any.
 * @returns [B, L, D]; the caller disposes it.
 * @throws RangeError when the places of pictures or videos and their features differ in number.
 */
export function embedInputs(
  config: VlmConfig,
  embedTokens: EmbedTokens,
  vision: VisionEncoder,
  inputs: ModelInputs,
  options?: EncodeOptions,
): tf.Tensor3D {
  return tf.tidy(() => {
    const features = hasMedia(inputs) ? vision.encode(inputs, options) : {};
    return mergeFeatures(config, embedTokens, inputs, features);
  });
}

/**
 * The same, handing the thread back between the layers of the vision encoder.
 * @throws also the signal's reason when aborted.
 */
export async function embedInputsPaused(
  config: VlmConfig,
  embedTokens: EmbedTokens,
  vision: VisionEncoder,
  inputs: ModelInputs,
  options: RunStepsOptions = {},
): Promise<tf.Tensor3D> {
  if (!hasMedia(inputs) || !vision.encodeSteps) {
    return embedInputs(config, embedTokens, vision, inputs);
  }
  const features = await runPaused(vision.encodeSteps(inputs), options);
  try {
    return tf.tidy(() => mergeFeatures(config, embedTokens, inputs, features));
  } finally {
    tf.dispose(features);
  }
}

function hasMedia({ pixelValues, pixelValuesVideos }: ModelInputs): boolean {
  return pixelValues !== undefined || pixelValuesVideos !== undefined;
}

function mergeFeatures(
  { imageTokenId, videoTokenId }: VlmConfig,
  embedTokens: EmbedTokens,
  { inputIds, batch, length }: ModelInputs,
  { images, videos }: VisionFeatures,
): tf.Tensor3D {
  const text = embedTokens(inputIds, [batch, length]);
  const merged = mergeEmbeddings(text, images, inputIds, imageTokenId, 'image');
  return videoTokenId === undefined
    ? merged
    : mergeEmbeddings(merged, videos, inputIds, videoTokenId, 'video');
}
