import { readFileSync } from 'node:fs';
import { memoryStore } from '@mha2mla/checkpoint';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { loadMediaSettings, parseMediaSettings } from './media-settings';

const FOLDER = 'fixtures/hf/qwen2_5_vl';
const readJson = (path: string) => JSON.parse(readFileSync(fixture(`${FOLDER}/${path}`), 'utf8'));
const older = readJson('checkpoint/preprocessor_config.json');
const newer = readJson('newer_layout/processor_config.json');
const sizes = { patchSize: 14, temporalPatchSize: 2, spatialMergeSize: 2 };

/** Settings of a folder with these files. */
function load(files: Record<string, object>) {
  const texts = Object.entries(files).map(([name, json]) => [name, JSON.stringify(json)]);
  return loadMediaSettings(memoryStore(Object.fromEntries(texts)), sizes);
}

describe('which file decides', () => {
  const video = { size: { shortest_edge: 784, longest_edge: 1568 } };
  const limits = { minPixels: 784, maxPixels: 1568 };

  test('one file of pictures serves for videos', async () => {
    const { image, video } = await load({ 'preprocessor_config.json': older });
    expect(image.limits).toEqual({ minPixels: 3136, maxPixels: 15_680 });
    expect(video).toEqual(image);
  });

  test('old and new files of one processor are read alike', async () => {
    const nested = await load({ 'processor_config.json': newer });
    expect(nested).toEqual(await load({ 'preprocessor_config.json': older }));
  });

  test('videos have limits of their own, nested or in a file', async () => {
    const nested = { image_processor: older, video_processor: video };
    expect((await load({ 'processor_config.json': nested })).video.limits).toEqual(limits);
    const files = {
      'preprocessor_config.json': older,
      'video_preprocessor_config.json': video,
      'processor_config.json': { processor_class: 'Qwen2_5_VLProcessor' },
    };
    expect((await load(files)).video.limits).toEqual(limits);
    expect((await load(files)).image.limits).toEqual({ minPixels: 3136, maxPixels: 15_680 });
  });

  test('no file, and a file that is no object, are refused', async () => {
    await expect(load({})).rejects.toThrow(/preprocessor_config\.json.*got neither/);
    await expect(load({ 'processor_config.json': [] })).rejects.toThrow(/JSON object, got \[\]/);
    const files = { 'preprocessor_config.json': older, 'video_preprocessor_config.json': [] };
    await expect(load(files)).rejects.toThrow(/the video processor must be a JSON object/);
  });
});

describe('limits', () => {
  const limitsOf = (json: object, kind: 'image' | 'video' = 'image') =>
    parseMediaSettings(kind, json, sizes).limits;

  test('min_pixels and max_pixels win over size', () => {
    const size = { shortest_edge: 4000, longest_edge: 5000 };
    expect(limitsOf({ size })).toEqual({ minPixels: 4000, maxPixels: 5000 });
    expect(limitsOf({ size, max_pixels: 6000, min_pixels: null })).toEqual({
      minPixels: 4000,
      maxPixels: 6000,
    });
  });

  test('those of the classes stand where there are none', () => {
    expect(limitsOf({})).toEqual({ minPixels: 3136, maxPixels: 1_003_520 });
    expect(limitsOf({}, 'video')).toEqual({ minPixels: 100_352, maxPixels: 602_112 });
    expect(limitsOf({ do_resize: false, min_pixels: 'none' })).toBeUndefined();
  });
});

test('grey levels become values as the file says', () => {
  const { convertRgb, tables } = parseMediaSettings('image', older, sizes);
  expect(convertRgb).toBe(true);
  for (const [channel, table] of tables.entries()) {
    const white = (1 - older.image_mean[channel]) / older.image_std[channel];
    expect(table[255]).toBeCloseTo(white, 6);
  }
  const plain = { ...older, do_rescale: false, do_normalize: false, do_convert_rgb: false };
  const kept = parseMediaSettings('image', plain, sizes);
  expect(kept.convertRgb).toBe(false);
  const levels = Float32Array.from({ length: 256 }, (_, level) => level);
  expect(kept.tables).toEqual([levels, levels, levels]);
});

describe('what is not understood is refused by name', () => {
  test.each<[string, object, RegExp]>([
    ['an area of zero', { min_pixels: 0 }, /min_pixels .* got 0/],
    ['a negative area', { max_pixels: -1 }, /max_pixels .* got -1/],
    ['a fraction', { max_pixels: 15680.5 }, /max_pixels .* got 15680\.5/],
    ['a huge area', { max_pixels: 1e12 }, /max_pixels .* 1\.\.67108864, got 1000000000000/],
    ['no number', { max_pixels: Number.NaN }, /max_pixels .* integer/],
    ['a text', { max_pixels: '15680' }, /max_pixels .* got "15680"/],
    ['most below least', { max_pixels: 100 }, /must not exceed max_pixels, got 3136 and 100/],
    ['an edge left out', { max_pixels: null, size: { shortest_edge: 3136 } }, /max_pixels .* got/],
    ['a size that is none', { size: 3136 }, /size of the image processor must be a JSON object/],
    ['another patch', { patch_size: 16 }, /patch_size .* must be 14 by config\.json, got 16/],
    ['a patch of zero', { patch_size: 0 }, /patch_size .* must be 14 by config\.json, got 0/],
    ['another depth', { temporal_patch_size: 1 }, /temporal_patch_size .* must be 2 .* got 1/],
    ['other units', { merge_size: 4 }, /merge_size .* must be 2 by config\.json, got 4/],
    ['another filter', { resample: 2 }, /resample must be 3 \(bicubic\), got 2/],
    ['no deviation', { image_std: [1, 0, 1] }, /image_std must be positive/],
    ['a mean of one number', { image_mean: [0.5] }, /image_mean must be three numbers/],
    ['a switch of another kind', { do_resize: 'yes' }, /do_resize must be true or false/],
  ])('%s', (_, change, message) => {
    const changed = { ...older, ...change };
    expect(() => parseMediaSettings('image', changed, sizes)).toThrow(message);
  });
});
