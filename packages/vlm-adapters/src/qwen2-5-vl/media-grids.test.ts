import { parseModelConfig } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { mediaGrids } from './media-grids';
import { parseQwen25VlConfig } from './qwen2-5-vl-config';
import { readQwenJson } from './testing/qwen-golden';

const { vision } = parseQwen25VlConfig(parseModelConfig(readQwenJson('checkpoint/config.json')));
const VALUES = 3 * 2 * 14 * 14;
const pixels = (rows: number, values = VALUES) => ({
  data: new Float32Array(rows * values),
  shape: [rows, values],
});

test('grids are read in order', () => {
  const thw = Int32Array.of(1, 2, 4, 2, 4, 2);
  expect(mediaGrids(vision, 'image', thw, pixels(24))).toEqual([
    { t: 1, h: 2, w: 4 },
    { t: 2, h: 4, w: 2 },
  ]);
});

test.each<[string, number[], { data: Float32Array; shape: number[] }, RegExp]>([
  ['too few rows', [1, 2, 4], pixels(7), /image pixels must be \[8, 1176\].*got \[7,1176\]/],
  ['too many rows', [1, 2, 4], pixels(9), /got \[9,1176\]/],
  ['other patches', [1, 2, 4], pixels(8, 1175), /got \[8,1175\]/],
  ['another rank', [1, 2, 4], { ...pixels(8), shape: [1, 8, VALUES] }, /got \[1,8,1176\]/],
  ['no grids', [], pixels(8), /must be \[0, 1176\]/],
  // A shape that claims what is not there would be allocated for.
  ['missing values', [1, 2 ** 14, 2 ** 14], { ...pixels(8), shape: [2 ** 28, VALUES] }, /and 9408/],
  ['huge', [2 ** 30, 2 ** 30, 2 ** 30], pixels(8), /got \[8,1176\]/],
  ['the largest', Array(3).fill(2 ** 31 - 1), pixels(8), /multiples of 2, got \[2147483647,/],
  ['a number behind a grid', [1, 2, 4, 1], pixels(8), /got \[1,0,0\]/],
  ['a grid of two', [1, 2, 4, 1, 2], pixels(8), /got \[1,2,0\]/],
  ['no height', [1, 0, 4], pixels(0), /positive, .*got \[1,0,4\]/],
  ['negative twice', [1, -2, -4], pixels(8), /got \[1,-2,-4\]/],
  ['sides that do not merge', [1, 1, 8], pixels(8), /multiples of 2, got \[1,1,8\]/],
])('refused with both: %s', (_, thw, values, message) => {
  const read = () => mediaGrids(vision, 'image', Int32Array.from(thw), values);
  expect(read).toThrow(message);
  expect(read).toThrow(RangeError);
});
