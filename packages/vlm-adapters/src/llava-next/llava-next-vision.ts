/**
 * LLaVA-NeXT's vision encoder: tower and projector see every crop of every picture; then each
 * picture's tiles are joined, what lies beyond the picture is left out, and rows end in a newline.
 */
import type { WeightReader } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { VisionEncoder } from '../family';
import type { ImageSize } from '../image/clip-image-processor-config';
import { MAX_IMAGE_SIDE } from '../image/rgb-image';
import { loadProjectedTower } from '../llava-shared/projected-tower';
import { loadOwned } from '../load-owned';
import type { MediaInputs } from '../model-inputs';
import { visionEncoder } from '../vision/vision-encoder';
import { featureOrder } from './feature-order';
import type { LlavaNextConfig } from './llava-next-config';
import { type PictureTiling, pictureTiling } from './picture-tiling';

/** Load tower, projector and newline. The caller disposes the encoder. */
export function loadLlavaNextVision(
  config: LlavaNextConfig,
  weights: WeightReader,
): Promise<VisionEncoder> {
  const width = config.decoder.hiddenSize;
  return loadOwned(async (own) => {
    const tower = own(await loadProjectedTower(config, weights));
    const newline = own(tf.tensor2d(await weights.read('image_newline', [width]), [1, width]));
    return visionEncoder({
      projections: tower.projections,
      *encodeSteps(inputs, options) {
        const tilings = tilingsOf(inputs, config);
        const [pixels, crops] = realCrops(inputs, tilings);
        const projected = yield* tower.encodeSteps(pixels, crops, options);
        const features = tf.tidy(() => {
          const rows = tf.concat([tf.reshape(projected, [-1, width]), newline]); // [crops * patches + 1, D]
          return tf.gather(rows, tf.tensor1d(featureOrder(tilings), 'int32')) as tf.Tensor2D;
        });
        projected.dispose();
        options?.observe?.('vision_features', features);
        return { images: features };
      },
      dispose() {
        tower.dispose();
        newline.dispose();
      },
    });
  });
}

/** How each picture was cut, by its size. @throws RangeError when pixels or sizes do not suit. */
function tilingsOf({ pixelValues, imageSizes }: MediaInputs, config: LlavaNextConfig) {
  const { imageSize } = config.clip;
  const shape = pixelValues?.shape ?? [];
  const [pictures = 0, crops = 0, ...square] = shape;
  const expected = [3, imageSize, imageSize];
  if (shape.length !== 5 || expected.some((size, i) => size !== square[i])) {
    throw new RangeError(
      `loadLlavaNextVision: pixelValues must be [pictures, crops, ${expected.join(', ')}], got [${shape}].`,
    );
  }
  const values = shape.reduce((product, size) => product * size, 1);
  if (pixelValues!.data.length !== values) {
    throw new RangeError(
      `loadLlavaNextVision: pixelValues of [${shape}] must hold ${values} values, got ${pixelValues!.data.length}.`,
    );
  }
  if (imageSizes?.length !== pictures * 2) {
    throw new RangeError(
      `loadLlavaNextVision: imageSizes must hold height and width of ${pictures} pictures, got ${imageSizes?.length ?? 0} numbers.`,
    );
  }
  return Array.from({ length: pictures }, (_, i) => {
    const [height = 0, width = 0] = imageSizes.subarray(i * 2, i * 2 + 2);
    return tilingOf(config, { height, width }, crops);
  });
}

function tilingOf(
  config: LlavaNextConfig,
  { height, width }: ImageSize,
  crops: number,
): PictureTiling {
  if (Math.min(height, width) < 1 || Math.max(height, width) > MAX_IMAGE_SIDE) {
    throw new RangeError(
      `loadLlavaNextVision: imageSizes must lie in 1..${MAX_IMAGE_SIDE}, got ${height} x ${width}.`,
    );
  }
  const tiling = pictureTiling(config, { height, width });
  if (tiling.crops > crops) {
    throw new RangeError(
      `loadLlavaNextVision: a picture of ${height} x ${width} must have ${tiling.crops} crops, got ${crops} in pixelValues.`,
    );
  }
  return tiling;
}

/** Pixels without the zeros that pad pictures of fewer crops, and the number of crops. */
function realCrops(
  { pixelValues }: MediaInputs,
  tilings: readonly PictureTiling[],
): [Float32Array, number] {
  const { data } = pixelValues!;
  const [, stored, , side] = pixelValues!.shape as [number, number, number, number];
  const plane = 3 * side ** 2;
  const crops = tilings.reduce((total, tiling) => total + tiling.crops, 0);
  const pixels = new Float32Array(crops * plane);
  let to = 0;
  for (const [i, tiling] of tilings.entries()) {
    const start = i * stored * plane;
    pixels.set(data.subarray(start, start + tiling.crops * plane), to);
    to += tiling.crops * plane;
  }
  return [pixels, crops];
}
