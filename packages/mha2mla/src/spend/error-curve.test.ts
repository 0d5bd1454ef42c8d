import { expect, test } from 'vitest';
import { errorAt, ranksToMeasure } from './error-curve';

test.each([
  [1, 8, [1]],
  [5, 100, [1, 2, 3, 4, 6]],
  [24, 100, [1, 2, 3, 4, 6, 8, 12, 16, 24]],
  [30, 28, [1, 2, 3, 4, 6, 8, 12, 16, 24, 28]],
  [3, 2, [1, 2]],
])('ranks to measure up to %i of %i', (highest, widest, expected) => {
  expect(ranksToMeasure(highest, widest)).toEqual(expected);
});

test('ranks of a smaller budget are the first of those of a larger', () => {
  for (let highest = 1; highest < 100; highest++) {
    const own = ranksToMeasure(highest, 100);
    expect(ranksToMeasure(highest + 1, 100).slice(0, own.length)).toEqual(own);
  }
});

test('a curve goes through what is known, between it geometrically, and no further', () => {
  const curve = { ranks: [1, 2, 4], errors: [8, 4, 1] };
  expect([1, 2, 4].map((rank) => errorAt(curve, rank))).toEqual([8, 4, 1]);
  expect(errorAt(curve, 3)).toBeCloseTo(2, 12);
  expect(errorAt({ ranks: [1, 3], errors: [2, 0] }, 2)).toBe(1);
  expect(() => errorAt(curve, 5)).toThrow(/rank must be at most 4, got 5/);
});
