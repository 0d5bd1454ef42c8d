import { expect, test } from 'vitest';
import { toRgb } from './rgb-image';

const bytes = (...values: number[]) => Uint8Array.from(values);

test('grey is repeated, alpha is dropped, RGB is not copied', () => {
  const size = { width: 2, height: 1 };
  expect([...toRgb({ data: bytes(7, 9), ...size }).data]).toEqual([7, 7, 7, 9, 9, 9]);
  expect([...toRgb({ data: bytes(7, 255, 9, 0), ...size }).data]).toEqual([7, 7, 7, 9, 9, 9]);
  const rgba = bytes(1, 2, 3, 0, 4, 5, 6, 255);
  expect([...toRgb({ data: rgba, ...size, channels: 4 }).data]).toEqual([1, 2, 3, 4, 5, 6]);
  const rgb = new Uint8ClampedArray([1, 2, 3, 4, 5, 6]);
  expect(toRgb({ data: rgb, ...size }).data).toBe(rgb);
});

test('data that does not fit its size is refused with both figures', () => {
  const data = new Uint8Array(12);
  expect(() => toRgb({ data, width: 2, height: 2, channels: 4 })).toThrow(/got 12 for 2 x 2 x 4/);
  expect(() => toRgb({ data, width: 5, height: 1 })).toThrow(RangeError);
  for (const width of [0, -1, 1.5, Number.NaN, 2 ** 40]) {
    expect(() => toRgb({ data, width, height: 1 })).toThrow(/width must be an integer/);
  }
  expect(() => toRgb({ data, width: 60_000, height: 60_000 })).toThrow(/at most 178956970 pixels/);
  const wrong = { data: new Float32Array(12), width: 2, height: 2 };
  expect(() => toRgb(wrong as never)).toThrow(/Float32Array/);
});
