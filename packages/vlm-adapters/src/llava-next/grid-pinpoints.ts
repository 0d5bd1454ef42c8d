/**
 * The resolutions between which LLaVA-NeXT chooses for a picture, `image_grid_pinpoints`: [height,
 * width] each, cut into tiles of the tower's square. transformers counts a picture's tiles rounded
 * up and lays them out rounded down, so nothing but multiples of the square can work.
 */

import { showJson } from '@mha2mla/checkpoint';
import type { ImageSize } from '../image/clip-image-processor-config';

/** LlavaNextConfig's, and its image processor's, where the key is left out. */
const DEFAULTS = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];

/** LLaVA-NeXT has 5, LLaVA-OneVision all of 6 x 6. Each costs a comparison a picture. */
const MAX_PINPOINTS = 64;

/** LLaVA-NeXT cuts a picture into 4 tiles, LLaVA-OneVision into 36. */
const MAX_TILES = 64;

/** 4096 x 4096: 192 MiB of values a picture. The largest published resolution is 2304 x 2304. */
const MAX_PIXELS = 2 ** 24;

/**
 * Parse and check the resolutions.
 * @param where they stand, for the message.
 * @param tile side of the tower's square, in pixels.
 * @throws RangeError
 */
export function parseGridPinpoints(where: string, value: unknown, tile: number): ImageSize[] {
  const list = value ?? DEFAULTS;
  const origin = list === value ? '' : ' (the default, as it is left out)';
  const fail = (must: string, got: unknown) =>
    new RangeError(
      `parseGridPinpoints: image_grid_pinpoints of ${where} must ${must}, got ${showJson(got)}${origin}.`,
    );
  if (!Array.isArray(list)) throw fail('be a list of [height, width]', list);
  if (list.length < 1 || list.length > MAX_PINPOINTS) {
    throw fail(`hold 1 to ${MAX_PINPOINTS} resolutions`, list.length);
  }
  return list.map((pinpoint: unknown) => {
    const sides = Array.isArray(pinpoint) ? pinpoint : [];
    const [height, width] = sides;
    const whole = sides.every(
      (side) => Number.isSafeInteger(side) && side > 0 && side % tile === 0,
    );
    if (sides.length !== 2 || !whole) {
      throw fail(`hold [height, width], multiples of the tower's ${tile} pixels`, pinpoint);
    }
    const pixels = height * width;
    if (pixels > MAX_PIXELS || pixels > MAX_TILES * tile ** 2) {
      throw fail(`have at most ${MAX_PIXELS} pixels and ${MAX_TILES} tiles`, pinpoint);
    }
    return { height, width };
  });
}
