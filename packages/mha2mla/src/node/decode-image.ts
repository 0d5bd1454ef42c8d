/**
 * Decode a picture's bytes to 8-bit colour with sharp, within bounds that hold before anything is
 * decoded. The values are those of Pillow's `exif_transpose` and `convert("RGB")`, as Hugging Face's
 * `load_image` has it: turned as EXIF says, without colour profiles and gamma. One case differs on
 * purpose: of a grey picture of 16 bits the high byte is taken, where Pillow turns all above 255 white.
 */
import { escapeUnprintable } from '@mha2mla/checkpoint';
import type { RgbImage } from '@mha2mla/vlm-adapters';
import sharp from 'sharp';

/** Cameras write some 20 MB; a raw dump of 4,000 x 4,000 has 48. */
export const MAX_IMAGE_BYTES = 64 * 2 ** 20;
/** Some 1.4 times the largest common sensor (100 megapixels): 430 MB when decoded. */
const MAX_PIXELS = 144_000_000;

// In this process, formats that no picture of a conversation comes in (SVG, PDF, TIFF, GIF, …),
// whose loaders are large, are not even recognised.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp'],
});
// Decoded pictures are used once.
sharp.cache(false);

/**
 * @param bytes PNG, JPEG or WebP; of an animation the first frame is taken.
 * @param name of the picture, for messages.
 * @returns RGB or RGBA; the processors drop alpha, as Pillow does.
 * @throws RangeError for bytes that are too many, cut short, or no picture.
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  if (bytes.length > MAX_IMAGE_BYTES) {
    throw new RangeError(
      `decodeImage: ${name} must have at most ${MAX_IMAGE_BYTES} bytes, got ${bytes.length}.`,
    );
  }
  try {
    return await decode(bytes);
  } catch (cause) {
    // libvips says each of its warnings on a line.
    const lines = (cause instanceof Error ? cause.message : String(cause)).trim().split('\n');
    throw new RangeError(
      `decodeImage: ${name} must be a whole PNG, JPEG or WebP picture of at most ${MAX_PIXELS} pixels, got: ${escapeUnprintable(lines.join('; '))}.`,
      { cause },
    );
  }
}

async function decode(bytes: Uint8Array): Promise<RgbImage> {
  const image = sharp(bytes, {
    failOn: 'error',
    ignoreIcc: true,
    limitInputPixels: MAX_PIXELS,
    pages: 1,
  });
  const isCmyk = (await image.metadata()).space === 'cmyk';
  if (isCmyk) image.pipelineColourspace('cmyk');
  const { data, info } = await image
    .autoOrient()
    .toColourspace(isCmyk ? 'cmyk' : 'srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  return isCmyk
    ? { data: cmykToRgb(data), width, height, channels: 3 }
    : { data, width, height, channels: info.channels };
}

/** Ink to light without a profile: a colour's light is 1 - K, less the share that its ink takes. */
function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4, to += 3) {
    const light = 255 - cmyk[from + 3]!;
    for (let c = 0; c < 3; c++) {
      // ink * light / 255, rounded, in integers.
      const product = cmyk[from + c]! * light + 128;
      rgb[to + c] = light - (((product >> 8) + product) >> 8);
    }
  }
  return rgb;
}
