import type { ImageSize } from '../image/clip-image-processor-config';
import { resizeBicubic } from '../image/resize-bicubic';
import type { RgbImage } from '../image/rgb-image';
import type { PictureTiling } from './picture-tiling';

/**
 * Fit a picture into its resolution, centre it on black, and cut that into tiles. Where the
 * padding is odd, the pixel more is below or on the right, as in transformers 4.57 (4.51 leaves
 * the pixel out).
 * @returns tiles in raster order, [tile, tile, 3] each
 */
export function cutTiles(
  image: RgbImage,
  { resolution, rows, columns }: PictureTiling,
): Required<RgbImage>[] {
  const size = fittedSize(image, resolution);
  const fitted = resizeBicubic(image, size);
  const top = Math.floor((resolution.height - size.height) / 2);
  const left = Math.floor((resolution.width - size.width) / 2);
  const tile = resolution.height / rows;
  return Array.from({ length: rows * columns }, (_, index) => {
    const x = (index % columns) * tile;
    const y = Math.floor(index / columns) * tile;
    return cutTile(fitted, { left: x - left, top: y - top }, tile);
  });
}

/** The largest size of the picture's proportions; floating point as in transformers. */
function fittedSize({ height, width }: ImageSize, resolution: ImageSize): ImageSize {
  const scaleX = resolution.width / width;
  const scaleY = resolution.height / height;
  return scaleX < scaleY
    ? { width: resolution.width, height: Math.min(Math.ceil(height * scaleX), resolution.height) }
    : { height: resolution.height, width: Math.min(Math.ceil(width * scaleY), resolution.width) };
}

/** A square of a picture that may reach beyond it, black there. */
function cutTile(
  { data, width, height }: Required<RgbImage>,
  { left, top }: { left: number; top: number },
  side: number,
): Required<RgbImage> {
  const tile = new Uint8Array(side * side * 3);
  const [from, to] = [Math.max(left, 0), Math.min(left + side, width)];
  for (let y = Math.max(top, 0); from < to && y < Math.min(top + side, height); y++) {
    const line = data.subarray((y * width + from) * 3, (y * width + to) * 3);
    tile.set(line, ((y - top) * side + from - left) * 3);
  }
  return { data: tile, width: side, height: side, channels: 3 };
}
