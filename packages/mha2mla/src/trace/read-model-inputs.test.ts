import { memorySource, openSafetensors, writeSafetensors } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { readModelInputs } from './read-model-inputs';

type Tensors = Record<string, { shape: number[]; values: Int32Array | Float32Array }>;

async function fileOf(tensors: Tensors) {
  const output = memoryOutput();
  const entries = Object.entries(tensors).map(([name, { shape, values }]) => ({
    name,
    shape,
    dtype: values instanceof Int32Array ? ('I32' as const) : ('F32' as const),
  }));
  await output.write('inputs', (sink) =>
    writeSafetensors(sink, entries, ({ name }) => tensors[name]!.values),
  );
  return openSafetensors(memorySource(output.files.get('inputs')!));
}

const ids = { shape: [2, 3], values: Int32Array.of(0, 5, 6, 7, 8, 9) };
const mask = { shape: [2, 3], values: Int32Array.of(0, 1, 1, 1, 1, 1) };

test('ids, mask and pictures are read', async () => {
  const pixels = { shape: [1, 3, 2, 2], values: new Float32Array(12).fill(0.5) };
  const file = await fileOf({ input_ids: ids, attention_mask: mask, pixel_values: pixels });
  expect(await readModelInputs(file)).toEqual({
    batch: 2,
    length: 3,
    inputIds: ids.values,
    attentionMask: mask.values,
    pixelValues: { data: pixels.values, shape: pixels.shape },
  });
});

test('sizes, grids and videos are read', async () => {
  const grid = { shape: [1, 3], values: Int32Array.of(1, 4, 6) };
  const pixels = { shape: [24, 8], values: new Float32Array(192).fill(0.5) };
  const seconds = { shape: [1], values: Float32Array.of(0.5) };
  const sizes = { shape: [2, 2], values: Int32Array.of(1, 2, 3, 4) };
  const file = await fileOf({
    input_ids: ids,
    image_sizes: sizes,
    image_grid_thw: grid,
    pixel_values_videos: pixels,
    video_grid_thw: grid,
    second_per_grid_ts: seconds,
  });
  expect(await readModelInputs(file)).toEqual({
    batch: 2,
    length: 3,
    inputIds: ids.values,
    attentionMask: new Int32Array(6).fill(1),
    imageSizes: sizes.values,
    imageGridThw: grid.values,
    pixelValuesVideos: { data: pixels.values, shape: pixels.shape },
    videoGridThw: grid.values,
    secondPerGridTs: seconds.values,
  });
});

test('without a mask all tokens are real, and without pictures it is text', async () => {
  expect(await readModelInputs(await fileOf({ input_ids: ids }))).toEqual({
    batch: 2,
    length: 3,
    inputIds: ids.values,
    attentionMask: new Int32Array(6).fill(1),
  });
});

test.each<[string, Tensors, RegExp]>([
  ['no ids', { attention_mask: mask }, /expected input_ids \[B, L\], got "attention_mask/],
  ['one dimension', { input_ids: { ...ids, shape: [6] } }, /input_ids must be .* got \[6\]/],
  [
    'a mask of another shape',
    { input_ids: ids, attention_mask: { ...mask, shape: [3, 2] } },
    /attention_mask alike, got \[2,3\] and \[3,2\]/,
  ],
  [
    'a pixel that is no number',
    { input_ids: ids, pixel_values: { shape: [2], values: Float32Array.of(0, Number.NaN) } },
    /pixel_values must hold finite numbers, got NaN at element 1/,
  ],
  [
    'a grid of another width',
    { input_ids: ids, image_grid_thw: { shape: [3], values: Int32Array.of(1, 2, 3) } },
    /image_grid_thw must be \[n, 3\], got \[3\]/,
  ],
  [
    'no tokens',
    { input_ids: { shape: [1, 0], values: new Int32Array() } },
    /input_ids must be .* got \[1,0\]/,
  ],
  [
    'a mask of other numbers',
    { input_ids: ids, attention_mask: { ...mask, values: Int32Array.of(0, 1, 2, 1, 1, 1) } },
    /attention_mask must hold 0 and 1, got 2/,
  ],
  [
    'a row of padding',
    { input_ids: ids, attention_mask: { ...mask, values: Int32Array.of(0, 0, 0, 1, 1, 1) } },
    /a row must hold a token, got none in row 0/,
  ],
])('%s: refused', async (_, tensors, message) => {
  await expect(readModelInputs(await fileOf(tensors))).rejects.toThrow(message);
});
