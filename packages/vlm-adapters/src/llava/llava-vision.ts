/** LLaVA-1.5's vision encoder: a picture is one square. */
import type { WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { VisionEncoder } from '../family';
import type { LlavaConfig } from '../llava-shared/llava-config';
import { loadProjectedTower } from '../llava-shared/projected-tower';
import type { MediaInputs } from '../model-inputs';
import { visionEncoder } from '../vision/vision-encoder';

/** Load tower and projector. The caller disposes the encoder. */
export async function loadLlavaVision(
  config: LlavaConfig,
  weights: WeightReader,
): Promise<VisionEncoder> {
  const tower = await loadProjectedTower(config, weights);
  return visionEncoder({
    projections: tower.projections,
    *encodeSteps(inputs, options) {
      const [pictures, pixels] = picturesOf(inputs, config.clip.imageSize);
      const projected = yield* tower.encodeSteps(pixels, pictures, options);
      const features: tf.Tensor2D = tf.reshape(projected, [-1, config.decoder.hiddenSize]);
      projected.dispose();
      options?.observe?.('vision_features', features);
      return { images: features };
    },
    dispose: () => tower.dispose(),
  });
}

/** Number and values of the pictures of a batch. @throws RangeError when their shape is another. */
function picturesOf({ pixelValues }: MediaInputs, size: number): [number, Float32Array] {
  const shape = pixelValues?.shape ?? [];
  if (shape.length !== 4 || shape[1] !== 3 || shape[2] !== size || shape[3] !== size) {
    throw new RangeError(
      `loadLlavaVision: pixelValues must be [pictures, 3, ${size}, ${size}], got [${shape}].`,
    );
  }
  return [shape[0]!, pixelValues!.data];
}
