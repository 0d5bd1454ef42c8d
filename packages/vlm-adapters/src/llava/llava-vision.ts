/** LLaVA's vision encoder: CLIP, then a projector of two layers. */
import { loadProjection, type WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { VisionEncoder } from '../family';
import { loadOwned } from '../load-owned';
import type { MediaInputs } from '../model-inputs';
import { ClipVisionTower } from '../vision/clip-vision-tower';
import type { LlavaConfig } from './llava-config';

/** Load tower and projector. The caller disposes the encoder. */
export function loadLlavaVision(
  { clip, decoder, projectorAct }: LlavaConfig,
  weights: WeightReader,
): Promise<VisionEncoder> {
  const width = decoder.hiddenSize;
  return loadOwned(async (own) => {
    const tower = own(await ClipVisionTower.load(clip, weights, 'vision_tower'));
    const projection = async (part: string, inFeatures: number) =>
      own(await loadProjection(weights, `multi_modal_projector.${part}`, [inFeatures, width]));
    const linear1 = await projection('linear_1', clip.hiddenSize);
    const linear2 = await projection('linear_2', width);
    return {
      encode: (inputs, { observe } = {}) =>
        tf.tidy(() => {
          const [pictures, pixels] = picturesOf(inputs, clip.imageSize);
          const patches = tower.encode(
            pixels,
            pictures,
            observe && ((name, tensor) => observe(`vision.${name}`, tensor)),
          );
          const projected = linear2.apply(projectorAct(linear1.apply(patches)));
          observe?.('projector_out', projected);
          const features = tf.reshape(projected, [-1, width]) as tf.Tensor2D;
          observe?.('vision_features', features);
          return { images: features };
        }),
      dispose() {
        for (const part of [tower, linear1, linear2]) part.dispose();
      },
    };
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
