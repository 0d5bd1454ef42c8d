import { readFileSync } from 'node:fs';
import { parseModelConfig } from '@mha2mla/checkpoint';
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { RgbImage } from '../image/rgb-image';
import { parseLlavaNextConfig } from './llava-next-config';
import { prepareCrops } from './prepare-crops';

const NEXT = 'fixtures/hf/llava_next';
const readJson = (path: string) => JSON.parse(readFileSync(fixture(`${NEXT}/${path}`), 'utf8'));
const config = parseLlavaNextConfig(parseModelConfig(readJson('checkpoint/config.json')));
const json = readJson('checkpoint/preprocessor_config.json');

async function readPng(name: string): Promise<RgbImage> {
  const path = fixture(`${NEXT}/images/${name}`);
  const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

describe.each([
  ['older layout', json],
  ['newer layout', readJson('newer_layout/processor_config.json')],
])('crops equal those of Hugging Face, %s', (_, settings) => {
  test.each([
    ['p0', ['p0_img0.png']],
    ['p1', ['p1_img0.png', 'p1_img1.png']],
    ['odd_padding', ['odd_padding.png']],
  ])('%s', async (golden, files) => {
    const tensors = readSafetensors(fixture(`${NEXT}/goldens/${golden}.safetensors`));
    const { inputs } = prepareCrops(config, settings)(await Promise.all(files.map(readPng)));
    const { data, shape } = tensors.get('pixel_values')!;
    expect(inputs.pixelValues!.shape).toEqual(shape);
    // Every float32 step is followed, so nothing is left to differ.
    expectClose(inputs.pixelValues!.data, data, { abs: 0 });
    expect(inputs.imageSizes).toEqual(tensors.get('image_sizes')!.data);
  });
});

test.each([
  [1, 1],
  [1, 10_000],
  [10_000, 1],
])('a picture of %d x %d is prepared', (height, width) => {
  const image = { data: new Uint8Array(height * width * 3).fill(255), height, width };
  const { inputs, tokens } = prepareCrops(config, json)([image]);
  expect([...inputs.imageSizes!]).toEqual([height, width]);
  expect(tokens[0]).toBeGreaterThanOrEqual(16);
  const [pictures, crops] = inputs.pixelValues!.shape;
  expect([pictures, crops]).toEqual([1, 3]);
  expect(inputs.pixelValues!.data.every(Number.isFinite)).toBe(true);
});

test('grey and RGBA pictures are made RGB, unless the configuration forbids it', () => {
  const grey = { data: new Uint8Array(40 * 30).fill(77), width: 40, height: 30 };
  const rgb = { ...grey, data: new Uint8Array(40 * 30 * 3).fill(77) };
  const prepare = prepareCrops(config, json);
  expect(prepare([grey])).toEqual(prepare([rgb]));
  const strict = prepareCrops(config, { ...json, do_convert_rgb: false });
  expect(strict([rgb])).toEqual(prepare([rgb]));
  expect(() => strict([grey])).toThrow(/do_convert_rgb false .* 3 channels, got 1/);
});

describe('a configuration that does not suit is refused by name, before any picture', () => {
  test.each<[string, object, RegExp]>([
    ['size of zero', { size: { shortest_edge: 0 } }, /size\.shortest_edge .* got 0/],
    ['a huge size', { size: { shortest_edge: 1e9 } }, /size\.shortest_edge .* got 1000000000/],
    ['a fraction', { crop_size: { height: 56.5, width: 56 } }, /crop_size\.height .* got 56\.5/],
    ['another size', { size: { shortest_edge: 84 } }, /size of .* must be 56, .* got 84/],
    ['an oblong', { crop_size: { height: 56, width: 112 } }, /crop_size of .*, got 56 x 112/],
    ['no resize', { do_resize: false }, /size of .* got none/],
    ['no crop', { do_center_crop: false }, /crop_size of .* got none/],
    ['another filter', { resample: 2 }, /resample must be 3 \(bicubic\), got 2/],
    ['no resolutions', { image_grid_pinpoints: [] }, /must hold 1 to 64 resolutions, got 0/],
    ['resolutions left out', { image_grid_pinpoints: undefined }, /got \[336,672\] \(the default/],
    ['other resolutions', { image_grid_pinpoints: [[56, 56]] }, /got \[\[56,56\]\]/],
    ['a huge resolution', { image_grid_pinpoints: [[56e9, 56]] }, /got \[56000000000,56\]/],
  ])('%s', (_, change, message) => {
    const changed = { ...json, ...change };
    expect(() => prepareCrops(config, changed)).toThrow(message);
    expect(() => prepareCrops(config, { image_processor: changed })).toThrow(message);
  });

  test('no object', () => {
    expect(() => prepareCrops(config, [])).toThrow(/must be a JSON object, got \[\]/);
    expect(() => prepareCrops(config, { image_processor: 3 })).toThrow(/image_processor must be/);
  });
});
