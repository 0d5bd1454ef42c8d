import { expect, test } from 'vitest';
import type { ImageSize } from '../image/clip-image-processor-config';
import type { ClipConfig } from '../vision/clip-config';
import { featureOrder } from './feature-order';
import { parseGridPinpoints } from './grid-pinpoints';
import { pictureTiling } from './picture-tiling';

/** The published models' squares and resolutions. */
const clip = { imageSize: 336, patchSize: 14 } as ClipConfig;
const gridPinpoints = parseGridPinpoints('config.json', undefined, 336);
const tilingOf = (height: number, width: number) =>
  pictureTiling({ clip, gridPinpoints }, { height, width });

// Computed by `select_best_resolution`, `unpad_image` and `_get_number_of_features` of
// transformers 4.51.0.
test.each([
  [1706, 3718, [336, 1008], [24, 52], 1848],
  [3471, 3004, [672, 672], [48, 42], 2640],
  [2370, 788, [1008, 336], [72, 24], 2376],
  [583, 440, [672, 672], [48, 36], 2352],
  [3143, 1417, [1008, 336], [54, 24], 1926],
  [1, 1, [336, 672], [24, 24], 1176],
  [1, 10_000, [336, 672], [0, 48], 576],
  [10_000, 1, [336, 672], [24, 0], 600],
])('%d x %d gives the tiles and tokens of transformers', (height, width, resolution, kept, n) => {
  const tiling = tilingOf(height, width);
  expect([tiling.resolution.height, tiling.resolution.width]).toEqual(resolution);
  expect([tiling.kept.height, tiling.kept.width]).toEqual(kept);
  expect(tiling.tokens).toBe(n);
  expect(tiling.crops).toBe(1 + (resolution[0]! * resolution[1]!) / 336 ** 2);
});

test('of resolutions that suit a picture as well, the first is taken', () => {
  const best = (pinpoints: readonly ImageSize[]) =>
    pictureTiling({ clip, gridPinpoints: pinpoints }, { height: 100, width: 100 }).resolution;
  expect(best(gridPinpoints)).toEqual({ height: 336, width: 672 });
  const [wide, tall, ...others] = gridPinpoints;
  expect(best([tall!, wide!, ...others])).toEqual({ height: 672, width: 336 });
});

test('a resolution of one tile gives the whole picture and that tile', () => {
  const config = { clip, gridPinpoints: [{ height: 336, width: 336 }] };
  const { crops, tokens } = pictureTiling(config, { height: 500, width: 500 });
  expect([crops, tokens]).toEqual([2, 24 * 24 + 24 * 25]);
});

test('features are in raster order over the tiles, of kept patches alone, a newline a row', () => {
  const tilings = [tilingOf(583, 440), tilingOf(500, 3000), tilingOf(1, 10_000)];
  const order = [...featureOrder(tilings)];
  const patches = 24 * 24;
  const newline = tilings.reduce((sum, { crops }) => sum + crops * patches, 0);
  let first = 0;
  for (const { crops, columns, kept, tokens } of tilings) {
    const own = order.splice(0, tokens);
    expect(own.splice(0, patches)).toEqual(Array.from({ length: patches }, (_, i) => first + i));
    for (let y = 0; y < kept.height; y++) {
      const line = own.splice(0, kept.width + 1);
      expect(line.pop()).toBe(newline);
      // Where a feature lies in the grid of all tiles, from its tile and its place therein.
      const places = line.map((index) => {
        const [tile, patch] = [
          Math.floor((index - first) / patches) - 1,
          (index - first) % patches,
        ];
        const row = Math.floor(tile / columns) * 24 + Math.floor(patch / 24);
        return [row, (tile % columns) * 24 + (patch % 24)];
      });
      expect(places).toEqual(
        Array.from({ length: kept.width }, (_, x) => [kept.top + y, kept.left + x]),
      );
    }
    first += crops * patches;
  }
  expect(order).toEqual([]);
});
