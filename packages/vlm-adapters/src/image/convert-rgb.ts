import { type RgbImage, toRgb } from './rgb-image';
import type { SampleSettings } from './sample-settings';

/**
 * Give a picture as RGB, not copied if it is that already.
 * @throws RangeError when it is not and the processor's configuration does not convert; those of
 *   `toRgb`
 */
export function convertRgb(
  image: RgbImage,
  { convertRgb: converts }: Pick<SampleSettings, 'convertRgb'>,
): Required<RgbImage> {
  const rgb = toRgb(image);
  if (!converts && rgb.data !== image.data) {
    throw new RangeError(
      `convertRgb: with do_convert_rgb false a picture must have 3 channels, got ${image.data.length / (image.width * image.height)}.`,
    );
  }
  return rgb;
}
