import type { ImageSize } from '../../image/clip-image-processor-config';

export interface SmartResizeLimits {
  /** Both sides become multiples of it: the side of a merge unit in pixels. */
  factor: number;
  minPixels: number;
  maxPixels: number;
}

/** A longer side for each shorter one is no picture to the original. */
const MAX_ASPECT = 200;

/**
 * The size that a picture is resized to: sides that are multiples of `factor`, the area within the
 * limits, the aspect ratio as near as can be. As in transformers since 4.53, small pictures are
 * enlarged and no side becomes 0.
 * @throws RangeError for an aspect ratio above 200.
 */
export function smartResize(
  { height, width }: ImageSize,
  { factor, minPixels, maxPixels }: SmartResizeLimits,
): ImageSize {
  if (Math.max(height, width) / Math.min(height, width) > MAX_ASPECT) {
    throw new RangeError(
      `smartResize: the longer side of a picture must be at most ${MAX_ASPECT} times the shorter, got ${width} x ${height}. Crop it.`,
    );
  }
  const both = (side: (length: number) => number): ImageSize => ({
    height: side(height) * factor,
    width: side(width) * factor,
  });
  const nearest = both((length) => roundHalfEven(length / factor));
  const pixels = nearest.height * nearest.width;
  if (pixels > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    return both((length) => Math.max(1, Math.floor(length / shrink / factor)));
  }
  if (pixels < minPixels) {
    const enlarge = Math.sqrt(minPixels / (height * width));
    return both((length) => Math.ceil((length * enlarge) / factor));
  }
  return nearest;
}

/** Python's `round`. */
function roundHalfEven(value: number): number {
  const whole = Math.floor(value);
  const half = value - whole === 0.5;
  return half ? whole + (whole % 2) : Math.round(value);
}
