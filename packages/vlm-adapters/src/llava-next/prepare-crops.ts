/** LLaVA-NeXT's pictures: each becomes its whole, squashed to the tower's square, and its tiles. */
import type { ProcessorParts } from '../create-processor';
import { createClipImageProcessor } from '../image/clip-image-processor';
import {
  type ClipImageProcessorConfig,
  type ImageSize,
  parseClipImageProcessorConfig,
} from '../image/clip-image-processor-config';
import { convertRgb } from '../image/convert-rgb';
import { imageProcessorRecord } from '../image/image-processor-record';
import { resizeBicubic } from '../image/resize-bicubic';
import { cutTiles } from './cut-tiles';
import { parseGridPinpoints } from './grid-pinpoints';
import type { LlavaNextConfig } from './llava-next-config';
import { pictureTiling } from './picture-tiling';

const OWNER = 'prepareCrops';
const WHERE = 'the image processor';

/**
 * @param json the parsed configuration of the image processor; it must suit config.json.
 * @throws TypeError, RangeError naming the key.
 */
export function prepareCrops(
  config: LlavaNextConfig,
  json: unknown,
): ProcessorParts['prepareImages'] {
  const size = config.clip.imageSize;
  const settings = parseClipImageProcessorConfig(json);
  assertSquare(settings, size);
  assertSamePinpoints(config, imageProcessorRecord(OWNER, json).image_grid_pinpoints);
  const processor = createClipImageProcessor(json);
  const plane = 3 * size * size;
  return (images) => {
    const pictures = images.map((image) => convertRgb(image, settings));
    const tilings = pictures.map((picture) => pictureTiling(config, picture));
    // Pictures of fewer crops are padded with zeros, which the encoder drops.
    const crops = Math.max(...tilings.map((tiling) => tiling.crops));
    const data = new Float32Array(pictures.length * crops * plane);
    for (const [i, picture] of pictures.entries()) {
      const whole = resizeBicubic(picture, { width: size, height: size });
      for (const [j, square] of [whole, ...cutTiles(picture, tilings[i]!)].entries()) {
        data.set(processor.process(square).pixelValues, (i * crops + j) * plane);
      }
    }
    return {
      inputs: {
        pixelValues: { data, shape: [pictures.length, crops, 3, size, size] },
        imageSizes: Int32Array.from(pictures.flatMap(({ height, width }) => [height, width])),
      },
      tokens: tilings.map(({ tokens }) => tokens),
    };
  };
}

/** Whole and tiles are made in the tower's size, so that the processor has only to normalise. */
function assertSquare({ resize, crop }: ClipImageProcessorConfig, size: number): void {
  for (const [key, setting] of Object.entries({ size: resize, crop_size: crop })) {
    const found = Object.values(setting ?? {});
    if (found.length > 0 && found.every((side) => side === size)) continue;
    throw new RangeError(
      `${OWNER}: ${key} of ${WHERE} must be ${size}, the tower's by config.json, got ${found.join(' x ') || 'none'}.`,
    );
  }
}

/** The tiles that pictures are cut into and those that the encoder joins must be the same. */
function assertSamePinpoints({ clip, gridPinpoints }: LlavaNextConfig, value: unknown): void {
  const show = (pinpoints: readonly ImageSize[]) =>
    JSON.stringify(pinpoints.map(({ height, width }) => [height, width]));
  const [own, models] = [parseGridPinpoints(WHERE, value, clip.imageSize), gridPinpoints].map(show);
  if (own === models) return;
  throw new RangeError(
    `${OWNER}: image_grid_pinpoints of ${WHERE} must be those of config.json, ${models}, got ${own}.`,
  );
}
