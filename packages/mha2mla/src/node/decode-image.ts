/** Decode a picture's bytes to RGB with sharp, within bounds that hold before anything is decoded. */
import type { RgbImage } from '@mha2mla/vlm-adapters';
import sharp from 'sharp';

/** Cameras write some 20 MB; a raw dump of 4,000 x 4,000 has 48. */
export const MAX_IMAGE_BYTES = 64 * 2 ** 20;
/** Some 1.4 times the largest common sensor (100 megapixels): 430 MB when decoded. */
const MAX_PIXELS = 144_000_000;

// Formats that a picture of a conversation does not come in, whose loaders are large: blocked.
sharp.block({
  operation: [
    'VipsForeignLoadSvg',
    'VipsForeignLoadPdf',
    'VipsForeignLoadTiff',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadVips',
  ],
});
// Decoded pictures are used once.
sharp.cache(false);

/**
 * @param bytes PNG, JPEG or WebP; of an animation the first frame is taken.
 * @param name of the picture, for messages.
 * @throws RangeError for bytes that are too many, cut short, or no picture.
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  if (bytes.length > MAX_IMAGE_BYTES) {
    throw new RangeError(
      `decodeImage: ${name} must have at most ${MAX_IMAGE_BYTES} bytes, got ${bytes.length}.`,
    );
  }
  try {
    const { data, info } = await sharp(bytes, {
      failOn: 'truncated',
      limitInputPixels: MAX_PIXELS,
      pages: 1,
    })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height, channels: info.channels };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(
      `decodeImage: ${name} must be a whole PNG, JPEG or WebP picture of at most ${MAX_PIXELS} pixels: ${why}.`,
      { cause },
    );
  }
}
