/**
 * CLIP's image processor: RGB, resize (bicubic), centre crop, rescale, normalise, channels first.
 * Follows Hugging Face's `CLIPImageProcessor` (the PIL one) step by step, float32 roundings
 * included, so that pixel values are equal and not merely close.
 */
import {
  type ClipImageProcessorConfig,
  type ImageSize,
  MAX_EDGE,
  parseClipImageProcessorConfig,
} from './clip-image-processor-config';
import { convertRgb } from './convert-rgb';
import { resizeBicubic } from './resize-bicubic';
import type { RgbImage } from './rgb-image';
import { sampleTable } from './sample-table';

/** Resizes, crops and normalises pictures as CLIP's does. */
export interface ClipImageProcessor {
  /** Size of every result, when the configuration fixes it. */
  readonly outputSize: ImageSize | undefined;
  /** @returns pixelValues [3, height, width] @throws RangeError where that would be a huge picture */
  process(image: RgbImage): ProcessedImage;
}

/** A picture as a tower takes it. */
export interface ProcessedImage extends ImageSize {
  pixelValues: Float32Array;
}

/**
 * Make an image processor from a parsed `preprocessor_config.json` or `processor_config.json`.
 * @throws TypeError, RangeError for a configuration that is not understood, naming the key
 */
export function createClipImageProcessor(json: unknown): ClipImageProcessor {
  const config = parseClipImageProcessorConfig(json);
  const tables = [0, 1, 2].map((channel) => sampleTable(config, channel));
  const { resize, crop } = config;
  const outputSize = crop ?? (resize && 'height' in resize ? resize : undefined);
  return { outputSize, process: (image) => processImage(image, config, tables) };
}

function processImage(
  image: RgbImage,
  config: ClipImageProcessorConfig,
  tables: Float32Array[],
): ProcessedImage {
  const rgb = convertRgb(image, config);
  const full = resizedSize(rgb, config.resize);
  const { height, width } = config.crop ?? full;
  if (height * width > MAX_EDGE ** 2) {
    throw new RangeError(
      `processImage: pictures must become at most ${MAX_EDGE ** 2} pixels, got ${width} x ${height}. Crop them (do_center_crop), or resize to height and width.`,
    );
  }
  const rows = cropSpan(full.height, height);
  const columns = cropSpan(full.width, width);
  const { data } = resizeBicubic(rgb, {
    ...full,
    window: {
      left: columns.from,
      top: rows.from,
      width: columns.length,
      height: rows.length,
    },
  });
  const plane = height * width;
  const pixelValues = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const table = tables[channel]!;
    const values = pixelValues.subarray(channel * plane, (channel + 1) * plane);
    // Where the picture is smaller than the crop, the padding is black before normalisation.
    if (rows.length < height || columns.length < width) values.fill(table[0]!);
    for (let y = 0; y < rows.length; y++) {
      const to = (rows.to + y) * width + columns.to;
      const from = y * columns.length * 3 + channel;
      for (let x = 0; x < columns.length; x++) values[to + x] = table[data[from + x * 3]!]!;
    }
  }
  return { pixelValues, height, width };
}

/** The size after the resize; the long edge is truncated, as Python's int() does. */
function resizedSize(image: ImageSize, resize: ClipImageProcessorConfig['resize']): ImageSize {
  if (!resize) return { height: image.height, width: image.width };
  if ('height' in resize) return resize;
  const { shortestEdge } = resize;
  const [short, long] =
    image.width <= image.height ? [image.width, image.height] : [image.height, image.width];
  const longEdge = Math.trunc((shortestEdge * long) / short);
  return image.width <= image.height
    ? { height: longEdge, width: shortestEdge }
    : { height: shortestEdge, width: longEdge };
}

/**
 * One axis of a centre crop: samples `from`.. of the picture land at `to`.. of the result. The
 * offset is floor((size - crop) / 2), also where it is negative and the crop is padded.
 */
function cropSpan(size: number, crop: number): { from: number; to: number; length: number } {
  const offset = Math.floor((size - crop) / 2);
  return { from: Math.max(offset, 0), to: Math.max(-offset, 0), length: Math.min(size, crop) };
}
