/**
 * How LLaVA-NeXT ("anyres") sees a picture: once whole, squashed to the tower's square, and once
 * as tiles of the resolution that suits it, in which it is centred. Of the tiles' patches those
 * beyond the picture are left out, and each row of the rest ends in a newline. Processor and
 * encoder both follow from here.
 */
import type { ImageSize } from '../image/clip-image-processor-config';
import type { LlavaNextConfig } from './llava-next-config';
import { selectResolution } from './select-resolution';

export interface PictureTiling {
  readonly resolution: ImageSize;
  /** Tiles down and across. */
  readonly rows: number;
  readonly columns: number;
  /** Squares that the tower sees: the whole picture and its tiles. */
  readonly crops: number;
  /** Patches along the side of a square. */
  readonly grid: number;
  /** The part of the tiles' rows * grid x columns * grid patches that is kept. */
  readonly kept: { top: number; left: number } & ImageSize;
  /** Features of the whole picture, of the kept patches, and a newline a row. */
  readonly tokens: number;
}

/** @param size of the picture before processing; checked by the caller. */
export function pictureTiling(
  { clip, gridPinpoints }: Pick<LlavaNextConfig, 'clip' | 'gridPinpoints'>,
  size: ImageSize,
): PictureTiling {
  const resolution = selectResolution(size, gridPinpoints);
  const rows = resolution.height / clip.imageSize;
  const columns = resolution.width / clip.imageSize;
  const grid = Math.floor(clip.imageSize / clip.patchSize);
  const kept = keptPatches(size, { height: rows * grid, width: columns * grid });
  return {
    resolution,
    rows,
    columns,
    crops: 1 + rows * columns,
    grid,
    kept,
    tokens: grid ** 2 + kept.height * (kept.width + 1),
  };
}

/** A very wide picture may keep no row at all, a very tall one rows of newlines alone. */
function keptPatches(size: ImageSize, all: ImageSize): PictureTiling['kept'] {
  if (size.width / size.height > all.width / all.height) {
    const top = padding(all.height, size.height * all.width, size.width);
    return { top, left: 0, height: all.height - 2 * top, width: all.width };
  }
  const left = padding(all.width, size.width * all.height, size.height);
  return { top: 0, left, height: all.height, width: all.width - 2 * left };
}

/**
 * Patches before the picture's `dividend / divisor` of `length`. transformers rounds the quotient
 * to 7 digits, against float noise below an integer; integers divide without any.
 */
function padding(length: number, dividend: number, divisor: number): number {
  return Math.floor((length - Math.floor(dividend / divisor)) / 2);
}
