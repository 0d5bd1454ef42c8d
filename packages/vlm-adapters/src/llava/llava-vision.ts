/** LLaVA's vision encoder: CLIP, then a projector of two layers. */
import { loadProjection, type Projection, type WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { EncodeOptions, VisionEncoder } from '../family';
import type { ModelInputs } from '../model-inputs';
import { ClipVisionTower } from '../vision/clip-vision-tower';
import type { LlavaConfig } from './llava-config';

/** Load tower and projector. The caller disposes the encoder. */
export async function loadLlavaVision(
  { clip, decoder, projectorAct }: LlavaConfig,
  weights: WeightReader,
): Promise<VisionEncoder> {
  const width = decoder.hiddenSize;
  const tower = await ClipVisionTower.load(clip, weights, 'vision_tower');
  const linear1 = await loadProjection(weights, 'multi_modal_projector.linear_1', [
    clip.hiddenSize,
    width,
  ]);
  const linear2 = await loadProjection(weights, 'multi_modal_projector.linear_2', [width, width]);

  return {
    encode(inputs, options) {
      const [pictures, pixels] = picturesOf(inputs, clip.imageSize);
      return encodePictures(pixels, pictures, options);
    },
    dispose() {
      for (const part of [tower, linear1, linear2] as (ClipVisionTower | Projection)[]) {
        part.dispose();
      }
    },
  };

  function encodePictures(
    pixels: Float32Array,
    pictures: number,
    { observe }: EncodeOptions = {},
  ): tf.Tensor2D {
    return tf.tidy(() => {
      const patches = tower.encode(
        pixels,
        pictures,
        observe && ((name, tensor) => observe(`vision.${name}`, tensor)),
      );
      const projected = linear2.apply(projectorAct(linear1.apply(patches)));
      observe?.('projector_out', projected);
      const features = tf.reshape(projected, [-1, width]) as tf.Tensor2D;
      observe?.('vision_features', features);
      return features;
    });
  }
}

/** Number and values of the pictures of a batch. @throws RangeError when their shape is another. */
function picturesOf({ pixelValues }: ModelInputs, size: number): [number, Float32Array] {
  const shape = pixelValues?.shape ?? [];
  if (shape.length !== 4 || shape[1] !== 3 || shape[2] !== size || shape[3] !== size) {
    throw new RangeError(
      `loadLlavaVision: pixelValues must be [pictures, 3, ${size}, ${size}], got [${shape}].`,
    );
  }
  return [shape[0]!, pixelValues!.data];
}
