/** Qwen2.5-VL's vision encoder: one tower for pictures and for videos. */
import type { WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions, VisionEncoder, VisionFeatures } from '../family';
import type { PixelValues } from '../model-inputs';
import { mediaGrids } from './media-grids';
import type { Qwen25VlConfig } from './qwen2-5-vl-config';
import { Qwen25VlTower } from './qwen2-5-vl-tower';

/** The caller disposes the encoder. */
export async function loadQwen25VlVision(
  { vision, decoder }: Qwen25VlConfig,
  weights: WeightReader,
): Promise<VisionEncoder> {
  const tower = await Qwen25VlTower.load(vision, weights, decoder.hiddenSize);
  const encode = (
    kind: 'image' | 'video',
    pixels: PixelValues,
    thw: Int32Array | undefined,
    { observe }: EncodeOptions,
  ) => {
    const prefix = kind === 'video' ? 'video_' : '';
    const grids = mediaGrids(vision, kind, thw, pixels);
    const named =
      observe && ((name: string, x: tf.Tensor) => observe(`${prefix}vision.${name}`, x));
    const features = tower.encode(pixels.data, grids, named);
    observe?.(`${prefix}vision_features`, features);
    return features;
  };
  return {
    projections: tower.projections,
    encode(inputs, options = {}) {
      const { pixelValues, imageGridThw, pixelValuesVideos, videoGridThw } = inputs;
      return tf.tidy(() => {
        const features: VisionFeatures = {};
        if (pixelValues) features.images = encode('image', pixelValues, imageGridThw, options);
        if (pixelValuesVideos) {
          features.videos = encode('video', pixelValuesVideos, videoGridThw, options);
        }
        return features;
      });
    },
    dispose: () => tower.dispose(),
  };
}
