import { describe, expect, test } from 'vitest';
import { smartResize } from './smart-resize';

const published = { factor: 28, minPixels: 3136, maxPixels: 12_845_056 };
const sides = ({ height, width }: { height: number; width: number }) => [height, width];

/** Computed by transformers 4.51's `smart_resize`. */
test.each([
  ['kept', 56, 84, published, [56, 84]],
  ['halves go to the even neighbour', 98, 126, published, [112, 112]],
  ['to the nearest', 1080, 1920, published, [1092, 1932]],
  ['rounded down above the most', 6000, 8000, published, [3080, 4116]],
  ['a lower most', 1080, 1920, { ...published, maxPixels: 1_003_520 }, [728, 1316]],
  ['rounded up below the least', 28, 28, published, [56, 56]],
  ['halves before the least', 42, 70, { ...published, minPixels: 3137 }, [56, 84]],
  ['a higher least', 100, 100, { ...published, minPixels: 100_352 }, [336, 336]],
  ['least and most alike', 84, 57, { ...published, maxPixels: 3136 }, [56, 28]],
  ['another factor', 97, 131, { factor: 32, minPixels: 1024, maxPixels: 4096 }, [32, 64]],
  ['200 times as high', 5600, 28, published, [5600, 28]],
])('%s: %d x %d', (_, height, width, limits, expected) => {
  expect(sides(smartResize({ height, width }, limits))).toEqual(expected);
});

describe('where 4.51 fails', () => {
  test('a picture below the factor is enlarged to the least area', () => {
    expect(sides(smartResize({ height: 1, width: 1 }, published))).toEqual([56, 56]);
    expect(sides(smartResize({ height: 3, width: 20 }, published))).toEqual([28, 168]);
  });

  test('no side becomes 0', () => {
    const narrow = { ...published, maxPixels: 3136 };
    expect(sides(smartResize({ height: 30, width: 3000 }, narrow))).toEqual([28, 560]);
  });
});

test('a side of more than 200 times the other is refused', () => {
  expect(() => smartResize({ height: 1, width: 10_000 }, published)).toThrow(/got 10000 x 1\b/);
  expect(() => smartResize({ height: 5629, width: 28 }, published)).toThrow(/at most 200 times/);
});
