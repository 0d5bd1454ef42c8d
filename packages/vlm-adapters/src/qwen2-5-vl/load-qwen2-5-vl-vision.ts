/** Qwen2.5-VL's vision encoder: one tower for pictures and for videos. */
import type { WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions, VisionEncoder, VisionFeatures } from '../family';
import type { PixelValues } from '../model-inputs';
import type { EncodeSteps } from '../vision/encode-steps';
import { visionEncoder } from '../vision/vision-encoder';
import { mediaGrids } from './media-grids';
import type { Qwen25VlConfig } from './qwen2-5-vl-config';
import { Qwen25VlTower } from './qwen2-5-vl-tower';

/** The caller disposes the encoder. */
export async function loadQwen25VlVision(
  { vision, decoder }: Qwen25VlConfig,
  weights: WeightReader,
): Promise<VisionEncoder> {
  const tower = await Qwen25VlTower.load(vision, weights, decoder.hiddenSize);
  function* encode(
    kind: 'image' | 'video',
    pixels: PixelValues,
    thw: Int32Array | undefined,
    { observe }: EncodeOptions,
  ): EncodeSteps<tf.Tensor2D> {
    const prefix = kind === 'video' ? 'video_' : '';
    const grids = mediaGrids(vision, kind, thw, pixels);
    const named =
      observe && ((name: string, x: tf.Tensor) => observe(`${prefix}vision.${name}`, x));
    const features = yield* tower.encodeSteps(pixels.data, grids, named);
    observe?.(`${prefix}vision_features`, features);
    return features;
  }
  return visionEncoder({
    projections: tower.projections,
    *encodeSteps(inputs, options = {}) {
      const { pixelValues, imageGridThw, pixelValuesVideos, videoGridThw } = inputs;
      const features: VisionFeatures = {};
      let isWhole = false;
      try {
        if (pixelValues) {
          features.images = yield* encode('image', pixelValues, imageGridThw, options);
        }
        if (pixelValuesVideos) {
          features.videos = yield* encode('video', pixelValuesVideos, videoGridThw, options);
        }
        isWhole = true;
        return features;
      } finally {
        if (!isWhole) tf.dispose(features);
      }
    },
    dispose: () => tower.dispose(),
  });
}
