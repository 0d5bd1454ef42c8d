import { expect, test } from 'vitest';
import { flipImage } from './flip-image';

const picture = { data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), width: 3, height: 2 };

test('pictures are turned over, two channels a pixel', () => {
  const flip = (horizontal: boolean, vertical: boolean) => [
    ...flipImage(picture, { horizontal, vertical }).data,
  ];
  expect(flip(false, false)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  expect(flip(true, false)).toEqual([5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]);
  expect(flip(false, true)).toEqual([7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]);
  expect(flip(true, true)).toEqual([11, 12, 9, 10, 7, 8, 5, 6, 3, 4, 1, 2]);
});

test('turning twice gives the picture back, and the original stays', () => {
  const both = { horizontal: true, vertical: true };
  expect(flipImage(flipImage(picture, both), both)).toEqual(picture);
  expect(picture.data[0]).toBe(1);
});
