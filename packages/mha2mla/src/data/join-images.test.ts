import { expect, test } from 'vitest';
import { joinImages } from './join-images';

/** A picture whose pixels are all one value, of 3 x 2. */
const plain = (value: number, width = 3, height = 2) => ({
  data: new Uint8Array(3 * width * height).fill(value),
  width,
  height,
});
const red = ({ data }: { data: ArrayLike<number> }) =>
  Array.from({ length: data.length / 3 }, (_, i) => data[3 * i]);

test('the halves of two pictures, side by side or one above the other', () => {
  const [first, second] = [plain(1), plain(2)];
  expect(red(joinImages(first, second, { vertical: false }))).toEqual([1, 2, 2, 1, 2, 2]);
  expect(red(joinImages(first, second, { vertical: true }))).toEqual([1, 1, 1, 2, 2, 2]);
  expect([red(first), red(second)]).toEqual([new Array(6).fill(1), new Array(6).fill(2)]);
});

test('pictures of other sizes stay as they are', () => {
  const first = plain(1);
  expect(joinImages(first, plain(2, 2, 3), { vertical: true })).toBe(first);
});
