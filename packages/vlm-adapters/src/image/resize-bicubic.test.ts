import { fixture, gaussian } from '@mha2mla/testing';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { resizeBicubic } from './resize-bicubic';
import type { RgbImage } from './rgb-image';

async function readPng(name: string): Promise<RgbImage> {
  const { data, info } = await sharp(fixture(`fixtures/image/${name}`))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

function noise(width: number, height: number): RgbImage {
  const data = Uint8Array.from(gaussian(width * height * 3, 5), (x) => 128 + 100 * x);
  return { data, width, height };
}

describe('equal to Pillow to the grey level', () => {
  test.each([
    ['both smaller', 20, 29],
    ['both larger', 74, 61],
    ['rows alone', 37, 20],
    ['columns alone', 11, 53],
    ['rows before columns', 50, 12],
    ['unchanged', 37, 53],
  ])('%s: %d x %d', async (_, width, height) => {
    const source = await readPng('source.png');
    const unchanged = width === source.width && height === source.height;
    const expected = unchanged ? source : await readPng(`bicubic_${width}x${height}.png`);
    const { data } = resizeBicubic(source, { width, height });
    expect([...data]).toEqual([...expected.data]);
  });
});

test.each([
  [30, 50, 20, 61],
  [50, 30, 50, 12],
  [21, 90, 30, 40],
  [21, 90, 21, 90],
])('a window of %d x %d -> %d x %d equals that part of the whole', (w, h, width, height) => {
  const image = noise(w, h);
  const whole = resizeBicubic(image, { width, height });
  const window = { left: 3, top: 2, width: width - 8, height: height - 5 };
  const part = resizeBicubic(image, { width, height, window });
  const expected: number[] = [];
  for (let y = 0; y < window.height; y++) {
    const from = ((y + window.top) * width + window.left) * 3;
    expected.push(...whole.data.subarray(from, from + window.width * 3));
  }
  expect([...part.data]).toEqual(expected);
});

test('a constant picture stays constant at every size', () => {
  const data = new Uint8Array(13 * 9 * 3).fill(201);
  for (const [width, height] of [[1, 1] as const, [100, 3] as const, [5, 200] as const]) {
    const out = resizeBicubic({ data, width: 13, height: 9 }, { width, height }).data;
    expect(new Set(out)).toEqual(new Set([201]));
  }
});

test('beside an edge from black to white levels are clipped, so that they never fall', () => {
  const data = new Uint8Array(8 * 8 * 3).map((_, i) => (Math.floor(i / 3) % 8 < 4 ? 0 : 255));
  for (const width of [5, 13, 64]) {
    const out = resizeBicubic({ data, width: 8, height: 8 }, { width, height: 20 }).data;
    const row = [...out.subarray(0, width * 3)];
    expect(row).toEqual([...row].sort((a, b) => a - b));
    expect([row[0], row.at(-1)]).toEqual([0, 255]);
  }
});

test('1 x 10,000 and 10,000 x 1 are resized, and a window of a huge result costs a window', () => {
  const tall = { data: new Uint8Array(30_000).fill(9), width: 1, height: 10_000 };
  const wide = { ...tall, width: 10_000, height: 1 };
  expect(resizeBicubic(tall, { width: 56, height: 56 }).data.length).toBe(56 * 56 * 3);
  expect(resizeBicubic(wide, { width: 56, height: 56 }).data.length).toBe(56 * 56 * 3);
  const window = { left: 0, top: 1_680_000, width: 336, height: 336 };
  const part = resizeBicubic(tall, { width: 336, height: 3_360_000, window });
  expect(part.data.length).toBe(336 * 336 * 3);
  expect(() => resizeBicubic(tall, { width: 336, height: 3_360_000 })).toThrow(/at most 178956970/);
});

test('sizes and windows that make no sense are refused', () => {
  const image = noise(4, 4);
  for (const width of [0, -3, 2.5, Number.NaN, 2 ** 31]) {
    expect(() => resizeBicubic(image, { width, height: 4 })).toThrow(/width must be an integer/);
  }
  const window = { left: 2, top: 0, width: 4, height: 4 };
  expect(() => resizeBicubic(image, { width: 5, height: 5, window })).toThrow(/got 2\.\.6/);
});
