import { readFileSync } from 'node:fs';
import { type FileStore, memoryStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import {
  describeBackends,
  expectClose,
  expectNoLeak,
  type FixtureTensor,
  fixture,
  readSafetensors,
} from '@mha2mla/testing';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tensorDifference } from '../expected-tensors';
import type { Processor, ProcessorSample } from '../model-inputs';
import { openVlm } from '../open-vlm';
import { logitsOf } from '../testing/logits-of';
import { type StoredTensor, tensorStore } from '../testing/tensor-store';
import { VisionLanguageModel } from '../vision-language-model';
import { llavaNext } from './llava-next-family';

const NEXT = 'fixtures/hf/llava_next';
const readFile = (path: string) => readFileSync(fixture(`${NEXT}/${path}`), 'utf8');
const readJson = (path: string) => JSON.parse(readFile(path));
const { prompts } = readJson('goldens/goldens.json');
const golden = (prompt: string) =>
  readSafetensors(fixture(`${NEXT}/goldens/${prompt}.safetensors`));

async function sampleOf(prompt: string): Promise<ProcessorSample> {
  const { messages, images: files } = prompts[prompt];
  const images: ProcessorSample['images'][number][] = [];
  for (const file of files) {
    const image = sharp(fixture(`${NEXT}/images/${file}`)).raw();
    const { data, info } = await image.toBuffer({ resolveWithObject: true });
    images.push({ data, width: info.width, height: info.height });
  }
  return { messages: messages[0], images };
}

/** The folder as transformers 5 writes it, its weights under the names of a newer class. */
async function newerFolder(version: string): Promise<FileStore> {
  const names: Record<string, Record<string, string>> = readJson('newer_layout/names.json');
  const stored = readSafetensors(fixture(`${NEXT}/checkpoint/model.safetensors`)) as Map<
    string,
    FixtureTensor & StoredTensor
  >;
  const renamed = [...stored].map(([name, tensor]) => [names[name]![version]!, tensor] as const);
  const weights = await tensorStore(readJson('newer_layout/config.json'), new Map(renamed));
  const files = memoryStore({
    'processor_config.json': readFile('newer_layout/processor_config.json'),
    'tokenizer_config.json': readFile('newer_layout/tokenizer_config.json'),
    'tokenizer.json': readFile('checkpoint/tokenizer.json'),
    'chat_template.jinja': readJson('checkpoint/chat_template.json').chat_template,
  });
  return {
    name: version,
    open: async (path) => (await weights.open(path)) ?? files.open(path),
  };
}

const FOLDERS: [string, () => Promise<FileStore>][] = [
  ['as published', () => nodeStore(fixture(`${NEXT}/checkpoint`))],
  ['of transformers 4.57.6', () => newerFolder('4.57.6')],
  ['of transformers 5.23.0', () => newerFolder('5.23.0')],
];

describe.each(FOLDERS)('a folder %s', (_, open) => {
  let processor: Processor;
  beforeAll(async () => {
    const store = await open();
    const source = await openVlm(store, { families: [llavaNext] });
    expect(tensorDifference(source)).toEqual({ missing: [], unexpected: [] });
    processor = await llavaNext.loadProcessor(source.config, store);
    await store.close?.();
  });

  test.each([
    ['p0', ['p0']],
    ['p1', ['p1']],
    ['p2', ['p2']],
    ['batch_p0_p2', ['p0', 'p2']],
  ])('%s: inputs equal those of Hugging Face', async (name, rows) => {
    const inputs = processor.process(await Promise.all(rows.map(sampleOf)));
    const tensors = golden(name);
    expect(inputs.inputIds).toEqual(tensors.get('input_ids')!.data);
    expect(inputs.attentionMask).toEqual(tensors.get('attention_mask')!.data);
    if (!rows.some((row) => prompts[row].images.length > 0)) return;
    expect(inputs.imageSizes).toEqual(tensors.get('image_sizes')!.data);
    const pixels = tensors.get('pixel_values') ?? golden('p0').get('pixel_values')!;
    expect(inputs.pixelValues!.shape).toEqual(pixels.shape);
    expectClose(inputs.pixelValues!.data, pixels.data, { abs: 0 });
  });
});

describeBackends('LLaVA-NeXT', () => {
  let model: VisionLanguageModel;
  let processor: Processor;
  beforeAll(async () => {
    const store = await nodeStore(fixture(`${NEXT}/checkpoint`));
    const source = await openVlm(store, { families: [llavaNext] });
    model = await VisionLanguageModel.load(source);
    processor = await llavaNext.loadProcessor(source.config, store);
    await store.close?.();
  });
  afterAll(() => model.dispose());

  test.each(['p0', 'p1', 'p2'])('%s: logits, from the pictures on', async (name) => {
    const logits = await logitsOf(model, processor.process([await sampleOf(name)]));
    // Float32 sums in another order; the logits have a deviation of 2.6.
    expectClose(logits, golden(name).get('logits')!.data, { abs: 1e-4 });
  });

  test.each(['4.57.6', '5.23.0'])('a folder of transformers %s gives the same', async (version) => {
    const source = await openVlm(await newerFolder(version), { families: [llavaNext] });
    const newer = await VisionLanguageModel.load(source);
    const inputs = processor.process([await sampleOf('p0')]);
    expect(await logitsOf(newer, inputs)).toEqual(await logitsOf(model, inputs));
    newer.dispose();
  });

  test('a left-padded batch of a picture and a text generates the greedy tokens', () =>
    expectNoLeak(async () => {
      const samples = await Promise.all(['p0', 'p2'].map(sampleOf));
      const found: number[][] = [[], []];
      const options = { maxTokens: 16, eosTokenIds: [] };
      for await (const { tokens } of model.generate(processor.process(samples), options)) {
        for (const [row, token] of tokens.entries()) found[row]!.push(token);
      }
      expect(found.flat()).toEqual([...golden('batch_p0_p2').get('generated_ids')!.data]);
    }));

  test('a picture of every proportion has as many features as tokens', async () => {
    const messages = [{ role: 'user', content: [{ type: 'image' as const }] }];
    for (const [height, width] of [
      [1, 1],
      [1, 10_000],
      [10_000, 1],
      [60, 59],
    ] as const) {
      const image = { data: new Uint8Array(height * width * 3).fill(90), height, width };
      const inputs = processor.process([{ messages, images: [image] }]);
      const embedded = model.embed(inputs);
      expect(embedded.shape).toEqual([1, inputs.length, 128]);
      embedded.dispose();
    }
  });
});
