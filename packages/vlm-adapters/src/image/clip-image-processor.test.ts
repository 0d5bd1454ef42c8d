import { readFile } from 'node:fs/promises';
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { createClipImageProcessor } from './clip-image-processor';
import type { RgbImage } from './rgb-image';

const LLAVA = 'fixtures/hf/llava';

async function readJson(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(fixture(path), 'utf8'));
}

async function readPng(path: string): Promise<RgbImage> {
  const { data, info } = await sharp(fixture(path)).raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

/** A processor that only resizes and crops: values are grey levels. */
function geometry(options: object) {
  return createClipImageProcessor({ do_rescale: false, do_normalize: false, ...options });
}

describe.each([
  ['older layout', `${LLAVA}/checkpoint/preprocessor_config.json`],
  ['newer layout', `${LLAVA}/newer_layout/processor_config.json`],
])('pixel values equal those of Hugging Face, %s', (_, config) => {
  test.each([
    ['p0', ['p0_img0.png']],
    ['p1', ['p1_img0.png', 'p1_img1.png']],
  ])('%s', async (prompt, files) => {
    const golden = readSafetensors(fixture(`${LLAVA}/goldens/${prompt}.safetensors`));
    const expected = golden.get('pixel_values')!.data;
    const processor = createClipImageProcessor(await readJson(config));
    const values: number[] = [];
    for (const file of files) {
      values.push(...processor.process(await readPng(`${LLAVA}/images/${file}`)).pixelValues);
    }
    // Every float32 step is followed, so nothing is left to differ.
    expectClose(values, expected, { abs: 0 });
  });
});

test('the crop starts at floor((size - crop) / 2), and what is missing is black', () => {
  // One row; grey level = column + 1.
  const row = (width: number): RgbImage => ({
    data: Uint8Array.from({ length: width }, (_, x) => x + 1),
    width,
    height: 1,
  });
  const crop = (width: number, to: number) => {
    const processor = geometry({ do_resize: false, crop_size: { height: 1, width: to } });
    return [...processor.process(row(width)).pixelValues.subarray(0, to)];
  };
  expect(crop(6, 4)).toEqual([2, 3, 4, 5]);
  expect(crop(7, 4)).toEqual([2, 3, 4, 5]);
  expect(crop(6, 3)).toEqual([2, 3, 4]);
  expect(crop(3, 6)).toEqual([0, 0, 1, 2, 3, 0]);
  expect(crop(4, 6)).toEqual([0, 1, 2, 3, 4, 0]);
});

test('padding is normalised like a black pixel', () => {
  const processor = createClipImageProcessor({ do_resize: false, crop_size: 3 });
  const black = createClipImageProcessor({ do_resize: false, crop_size: 1 });
  const dot = { data: new Uint8Array(3), width: 1, height: 1 };
  const expected = [...black.process(dot).pixelValues].flatMap((v) => Array(9).fill(v));
  expect([...processor.process({ ...dot, data: new Uint8Array(3) }).pixelValues]).toEqual(expected);
});

test.each([
  [97, 63, { shortest_edge: 56 }, 56, 86],
  [43, 86, { shortest_edge: 56 }, 112, 56],
  [333, 1000, 224, 672, 224],
  [97, 63, { height: 30, width: 20 }, 30, 20],
])('%d x %d resized to %j is %d high and %d wide', (width, height, size, high, wide) => {
  const image = { data: new Uint8Array(width * height * 3), width, height };
  const processed = geometry({ size, do_center_crop: false }).process(image);
  expect([processed.height, processed.width]).toEqual([high, wide]);
});

test('1 x 10,000 becomes a crop; 1 x 1 too', () => {
  const processor = createClipImageProcessor({ size: { shortest_edge: 336 }, crop_size: 336 });
  const values = processor.process({ data: new Uint8Array(30_000), width: 1, height: 10_000 });
  expect(values.pixelValues.length).toBe(3 * 336 * 336);
  processor.process({ data: new Uint8Array(3), width: 1, height: 1 });
});

test('a narrow picture that a short edge would make huge is refused', () => {
  const processor = geometry({ size: 4096, do_center_crop: false });
  const image = { data: new Uint8Array(3 * 5), width: 1, height: 5 };
  expect(() => processor.process(image)).toThrow(/at most 16777216 pixels, got 4096 x 20480/);
});

test('a configuration that is not understood is refused by name', () => {
  const refused = (json: unknown) => () => createClipImageProcessor(json);
  expect(refused({ resample: 2 })).toThrow(/resample must be 3 \(bicubic\), got 2/);
  expect(refused({ size: { shortest_edge: 1e9 } })).toThrow(
    /size\.shortest_edge .* got 1000000000/,
  );
  expect(refused({ size: { longest_edge: 30 } })).toThrow(/longest_edge/);
  expect(refused({ crop_size: 4097 })).toThrow(/crop_size .* 1\.\.4096, got 4097/);
  expect(refused({ crop_size: 0 })).toThrow(/crop_size .* got 0/);
  expect(refused({ crop_size: { height: 3.5, width: 3 } })).toThrow(/crop_size\.height/);
  expect(refused({ do_resize: 'yes' })).toThrow(/do_resize must be true or false/);
  expect(refused({ image_std: [1, 0, 1] })).toThrow(/image_std must be positive/);
  expect(refused({ image_mean: [0] })).toThrow(/image_mean must be three numbers/);
  expect(refused({ rescale_factor: null, image_mean: 'x' })).toThrow(/image_mean/);
  expect(refused([])).toThrow(/must be a JSON object/);
  expect(refused({ do_resize: false, resample: 0 })).not.toThrow();
});
