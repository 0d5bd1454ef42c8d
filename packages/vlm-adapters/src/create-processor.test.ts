import { readFileSync } from 'node:fs';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { createProcessor } from './create-processor';
import type { RgbImage } from './image/rgb-image';
import { llava } from './llava/llava-family';
import type { Processor, ProcessorSample } from './model-inputs';
import { openVlm } from './open-vlm';
import { loadTextFiles } from './text/load-text-files';

const LLAVA = 'fixtures/hf/llava';
const goldens = JSON.parse(readFileSync(fixture(`${LLAVA}/goldens/goldens.json`), 'utf8'));

async function load(folder: string): Promise<Processor> {
  const store = await nodeStore(fixture(folder));
  try {
    const { family, config } = await openVlm(store, { families: [llava] });
    return await family.loadProcessor(config, store);
  } finally {
    await store.close?.();
  }
}

async function picture(name: string): Promise<RgbImage> {
  const { data, info } = await sharp(fixture(`${LLAVA}/images/${name}`))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

describe('LLaVA-1.5: inputs equal those of Hugging Face', () => {
  let processor: Processor;
  beforeAll(async () => {
    processor = await load(`${LLAVA}/checkpoint`);
  });

  async function sampleOf(prompt: string): Promise<ProcessorSample> {
    const { messages, images } = goldens.prompts[prompt];
    return { messages: messages[0], images: await Promise.all(images.map(picture)) };
  }

  test.each(['p0', 'p1', 'p2'])('%s', async (prompt) => {
    const inputs = processor.process([await sampleOf(prompt)]);
    const tensors = readSafetensors(fixture(`${LLAVA}/goldens/${prompt}.safetensors`));
    expect([...inputs.inputIds]).toEqual([...tensors.get('input_ids')!.data]);
    expect([...inputs.attentionMask]).toEqual([...tensors.get('attention_mask')!.data]);
    const pixels = tensors.get('pixel_values');
    expect(inputs.pixelValues?.shape).toEqual(pixels?.shape);
    // The resize is Pillow's to the last bit; 0.016 (one grey level) would be fair.
    if (pixels) expectClose(inputs.pixelValues!.data, pixels.data, { abs: 1e-6 });
  });

  test('a batch of a picture and a text is left-padded', async () => {
    const inputs = processor.process([await sampleOf('p0'), await sampleOf('p2')]);
    const tensors = readSafetensors(fixture(`${LLAVA}/goldens/batch_p0_p2.safetensors`));
    expect([...inputs.inputIds]).toEqual([...tensors.get('input_ids')!.data]);
    expect([...inputs.attentionMask]).toEqual([...tensors.get('attention_mask')!.data]);
  });

  test('pictures without a place, and places without a picture, are refused', async () => {
    const { messages, images } = await sampleOf('p0');
    const process = (sample: ProcessorSample) => () => processor.process([sample]);
    expect(process({ messages, images: [] })).toThrow(/1 places and 0 pictures in sample 0/);
    expect(process({ messages, images: [...images, ...images] })).toThrow(/1 places and 2/);
    expect(() => processor.process([])).toThrow(/expected samples/);
  });

  test('a placeholder that a user has typed in a text part is text', async () => {
    const { messages, images } = await sampleOf('p0');
    const typed = [
      {
        role: 'user',
        content: [{ type: 'image' as const }, { type: 'text' as const, text: '<image>?' }],
      },
    ];
    const plain = processor.process([{ messages, images }]);
    const inputs = processor.process([{ messages: typed, images }]);
    const count = (ids: Int32Array) => ids.filter((id) => id === 400).length;
    expect(count(inputs.inputIds)).toBe(count(plain.inputIds));
  });

  test('a prompt beyond the context is refused with both numbers', async () => {
    const sample = { messages: [{ role: 'user', content: 'star '.repeat(9000) }], images: [] };
    expect(() => processor.process([sample])).toThrow(
      /must fit the context window of \d+ tokens, got a prompt of \d+/,
    );
  });
});

test('the tokens of pictures are summed against the context before any is repeated', async () => {
  const store = await nodeStore(fixture(`${LLAVA}/checkpoint`));
  const text = await loadTextFiles(store);
  await store.close?.();
  const process = (contextWindow: number, ...tokens: number[]) => {
    const parts = { ...text, imageTokenId: 400, padTokenId: 401, contextWindow };
    const processor = createProcessor({ ...parts, prepareImages: () => ({ inputs: {}, tokens }) });
    const dot = { data: new Uint8Array(3), width: 1, height: 1 };
    const content = tokens.map(() => ({ type: 'image' as const }));
    return processor.process([
      { messages: [{ role: 'user', content }], images: tokens.map(() => dot) },
    ]);
  };
  // No array has 2^40 entries: to repeat so often would be another error.
  expect(() => process(8192, 2 ** 40)).toThrow(
    /must fit the context window of 8192 tokens, got a prompt of 10995116/,
  );
  const { length } = process(8192, 7, 9);
  expect(process(length, 7, 9).inputIds.filter((id) => id === 400)).toHaveLength(16);
  expect(() => process(length - 1, 7, 9)).toThrow(
    `window of ${length - 1} tokens, got a prompt of ${length}.`,
  );
});

test('an answer is encoded as it was trained: after a space, before the end token', async () => {
  const processor = await load('models/llava');
  const messages = [{ role: 'user', content: '<image>what is it?' }];
  const { tokenizer } = processor;
  const ids = processor.encodeAnswer(messages, 'red cup');
  expect(tokenizer.decode(ids)).toBe(' red cup</s>');
  expect(tokenizer.decode(processor.encodeAnswer(messages, ' padded '))).toBe('  padded</s>');
  // A spelt end token stays text.
  const spelt = processor.encodeAnswer(messages, 'a</s>b');
  expect(spelt.filter((id) => id === tokenizer.eosTokenId)).toHaveLength(1);
  expect(spelt.at(-1)).toBe(tokenizer.eosTokenId);
});
