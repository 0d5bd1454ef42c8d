/**
 * Decode a picture where `createImageBitmap` is, in a page or its worker. Colours are taken as they
 * are stored and EXIF's orientation is applied, as in Hugging Face's `load_image`. A canvas multiplies by
 * alpha, so of pixels that are not opaque colours may be off, where Pillow has what lies beneath.
 */
import { showJson } from '@mha2mla/checkpoint';
import { imageDimensionsFromStream } from 'image-dimensions';
import { MAX_IMAGE_PIXELS, type RgbImage } from '../image/rgb-image';
import { ModelError } from './model-error';

/** Of a camera's largest files; what is no picture should not be read whole. */
const MAX_BYTES = 64 * 1024 ** 2;

/** @throws ModelError `bad-image` for what is too large or no picture, or where nothing decodes. */
export async function decodeImage(image: Blob | ImageBitmap): Promise<RgbImage> {
  if (typeof createImageBitmap !== 'function' || typeof OffscreenCanvas !== 'function') {
    throw new ModelError(
      'bad-image',
      'chat: a picture must be pixels { data, width, height } where nothing decodes, got a file. Decode it first, such as with sharp, or pass `decodeImage` when loading the model.',
    );
  }
  if (!(image instanceof Blob)) return pixelsOf(image);
  const bitmap = await bitmapOf(image);
  try {
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

async function bitmapOf(file: Blob): Promise<ImageBitmap> {
  if (file.size > MAX_BYTES) {
    throw new ModelError(
      'bad-image',
      `chat: a picture's file must have at most ${MAX_BYTES} bytes, got ${file.size}.`,
    );
  }
  // A few kilobytes may claim gigabytes of pixels.
  const claimed = await imageDimensionsFromStream(file.stream()).catch(() => undefined);
  if (!claimed) throw notDecoded(file);
  assertPixels(claimed);
  try {
    return await createImageBitmap(file, {
      colorSpaceConversion: 'none',
      premultiplyAlpha: 'none',
    });
  } catch (cause) {
    throw notDecoded(file, cause);
  }
}

function notDecoded({ size, type }: Blob, cause?: unknown): ModelError {
  return new ModelError(
    'bad-image',
    `chat: a picture must be a whole JPEG, PNG, WebP, GIF, AVIF or HEIC file that the browser decodes, got ${size} bytes of type ${showJson(type)}.`,
    { cause },
  );
}

function assertPixels({ width, height }: { width: number; height: number }): void {
  if (width < 1 || width * height > MAX_IMAGE_PIXELS) {
    throw new ModelError(
      'bad-image',
      `chat: a picture must have 1 to ${MAX_IMAGE_PIXELS} pixels, got ${width} x ${height}.`,
    );
  }
}

function pixelsOf(bitmap: ImageBitmap): RgbImage {
  const { width, height } = bitmap;
  assertPixels(bitmap);
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context)
    throw new ModelError('bad-image', 'chat: the browser must give a canvas, got none.');
  context.drawImage(bitmap, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}
