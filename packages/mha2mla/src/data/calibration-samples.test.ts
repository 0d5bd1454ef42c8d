import {
  type Checkpoint,
  memorySource,
  openSafetensors,
  type TensorEntry,
  type TensorValues,
  writeSafetensors,
} from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture } from '@mha2mla/testing';
import { llava, openVlm, type Processor, type RgbImage } from '@mha2mla/vlm-adapters';
import { beforeAll, describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { calibrationBatches, readCalibrationFile } from './calibration-samples';
import type { Question } from './question';

const IMAGE = 400;
let processor: Processor;

beforeAll(async () => {
  const store = await nodeStore(fixture('fixtures/hf/llava/checkpoint'));
  const { config } = await openVlm(store, { families: [llava] });
  processor = await llava.loadProcessor(config, store);
  await store.close?.();
});

type Content = Record<string, Omit<TensorEntry, 'name'> & { values: TensorValues }>;

/** Two samples of pictures of 4 x 6 pixels. */
function content(): Content {
  const rows = [
    [1, IMAGE, 5, 6],
    [1, 2, IMAGE, -1],
  ];
  const images = Uint8Array.from({ length: 2 * 4 * 6 * 3 }, (_, i) => (i * 37) & 255);
  return {
    images: { dtype: 'U8', shape: [2, 4, 6, 3], values: images },
    input_ids: { dtype: 'I32', shape: [2, 4], values: Int32Array.from(rows.flat()) },
    lengths: { dtype: 'I32', shape: [2], values: Int32Array.of(4, 3) },
  };
}

async function fileOf(tensors: Content): Promise<Checkpoint> {
  const output = memoryOutput();
  const entries = Object.entries(tensors).map(([name, entry]) => ({ ...entry, name }));
  await output.write('samples', (sink) => writeSafetensors(sink, entries, (entry) => entry.values));
  return openSafetensors(memorySource(output.files.get('samples')!));
}

function pictureOf({ images }: Content, row: number): RgbImage {
  const data = (images!.values as Uint8Array).subarray(row * 72, (row + 1) * 72);
  return { data, width: 6, height: 4, channels: 3 };
}

describe('a pre-tokenised file', () => {
  test('becomes right-padded batches with the pictures through the processor', async () => {
    const tensors = content();
    const batches = await readCalibrationFile(processor, await fileOf(tensors));
    expect(batches).toHaveLength(1);
    const { pixelValues, ...inputs } = batches[0]!;
    const pad = processor.padTokenId;
    expect(inputs).toEqual({
      batch: 2,
      length: 4,
      inputIds: Int32Array.of(1, IMAGE, 5, 6, 1, 2, IMAGE, pad),
      attentionMask: Int32Array.of(1, 1, 1, 1, 1, 1, 1, 0),
    });
    const pictures = [0, 1].map((row) => pictureOf(tensors, row));
    expect({ pixelValues }).toEqual(processor.processImages(pictures));
  });

  test('is cut at the limit, and into batches of 16', async () => {
    const store = await nodeStore(fixture('fixtures/hf/llava/mha2mla'));
    const file = await openSafetensors((await store.open('calibration.safetensors'))!);
    const sizes = (batches: readonly { batch: number }[]) => batches.map(({ batch }) => batch);
    expect(sizes(await readCalibrationFile(processor, file))).toEqual([16, 16]);
    expect(sizes(await readCalibrationFile(processor, file, 17))).toEqual([16, 1]);
    expect(sizes(await readCalibrationFile(processor, file, 0))).toEqual([]);
    await store.close?.();
  });

  test.each(['images', 'input_ids', 'lengths'])('without %s is refused by name', async (name) => {
    const tensors = content();
    delete tensors[name];
    await expect(readCalibrationFile(processor, await fileOf(tensors))).rejects.toThrow(
      `expected tensors images, input_ids and lengths, got none named "${name}"`,
    );
  });

  test.each<[string, Content, RegExp]>([
    ['fewer lengths', { lengths: int32([4]) }, /got U8 \[2,4,6,3\], \[2,4\] and \[1\]/],
    ['fewer pictures', { images: uint8([1, 4, 6, 3]) }, /got U8 \[1,4,6,3\]/],
    ['grey pictures', { images: uint8([2, 4, 6, 1]) }, /got U8 \[2,4,6,1\]/],
    [
      'pictures of floats',
      { images: { dtype: 'F32', shape: [2, 4, 6, 3], values: new Float32Array(144) } },
      /images must be U8 .* got F32/,
    ],
    ['a length of 0', { lengths: int32([4, 0]) }, /in 1..4, got 0 for sample 1/],
    ['a length too long', { lengths: int32([5, 3]) }, /in 1..4, got 5 for sample 0/],
  ])('with %s is refused', async (_, change, message) => {
    const run = readCalibrationFile(processor, await fileOf({ ...content(), ...change }));
    await expect(run).rejects.toThrow(RangeError);
    await expect(run).rejects.toThrow(message);
  });
});

test('conversations become batches of 16 with their answers', async () => {
  const question = (index: number): Question => ({
    messages: [{ role: 'user', content: `What is ${index}?` }],
    answers: [`It is ${index}.`],
    loadMedia: async () => ({ images: [] }),
  });
  const questions = Array.from({ length: 18 }, (_, index) => question(index));
  const batches = await calibrationBatches(processor, questions);
  expect(batches.map(({ batch }) => batch)).toEqual([16, 2]);
  const { inputIds, length } = batches[1]!;
  // The end token that follows the answer predicts nothing, and is left out.
  expect(processor.tokenizer.decode(inputIds.slice(length))).toMatch(/What is 17\?.*It is 17\.$/s);
});

test('progress is told, and an abort ends the preparation between two batches', async () => {
  const ask: Question = {
    messages: [{ role: 'user', content: 'What?' }],
    answers: ['That.'],
    loadMedia: async () => ({ images: [] }),
  };
  const questions = new Array<Question>(40).fill(ask);
  const controller = new AbortController();
  const seen: number[] = [];
  const run = calibrationBatches(processor, questions, {
    signal: controller.signal,
    onProgress: ({ loaded, total }) => {
      expect(total).toBe(40);
      seen.push(loaded);
      if (loaded === 32) controller.abort(new Error('enough'));
    },
  });
  await expect(run).rejects.toThrow('enough');
  expect(seen).toEqual([16, 32]);
});

function int32(values: number[]): Content[string] {
  return { dtype: 'I32', shape: [values.length], values: Int32Array.from(values) };
}

function uint8(shape: number[]): Content[string] {
  return { dtype: 'U8', shape, values: new Uint8Array(shape.reduce((a, b) => a * b, 1)) };
}
