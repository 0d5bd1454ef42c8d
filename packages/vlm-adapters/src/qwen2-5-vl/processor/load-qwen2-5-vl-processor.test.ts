import { readFileSync } from 'node:fs';
import { memoryStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RgbImage } from '../../image/rgb-image';
import type { ModelInputs, PixelValues, Processor, ProcessorSample } from '../../model-inputs';
import { openVlm } from '../../open-vlm';
import { qwen25Vl } from '../qwen2-5-vl-family';

const FOLDER = 'fixtures/hf/qwen2_5_vl';
const goldens = JSON.parse(readFileSync(fixture(`${FOLDER}/goldens/goldens.json`), 'utf8'));
const file = (path: string) => new Uint8Array(readFileSync(fixture(`${FOLDER}/${path}`)));

async function picture(name: string): Promise<RgbImage> {
  const { data, info } = await sharp(fixture(`${FOLDER}/images/${name}`))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

async function sampleOf(prompt: string): Promise<ProcessorSample> {
  const { messages, images, videos, fps = [] } = goldens.prompts[prompt];
  return {
    messages: messages[0],
    images: await Promise.all(images.map(picture)),
    videos: await Promise.all(
      videos.map(async (frames: string[], i: number) => ({
        frames: await Promise.all(frames.map(picture)),
        fps: fps[i],
      })),
    ),
  };
}

/** The published folder, and what newer versions write, around the same tokenizer. */
async function load(layout: 'published' | 'newer'): Promise<Processor> {
  const store =
    layout === 'published'
      ? await nodeStore(fixture(`${FOLDER}/checkpoint`))
      : memoryStore({
          'config.json': file('newer_layout/config.json'),
          'processor_config.json': file('newer_layout/processor_config.json'),
          'tokenizer_config.json': file('newer_layout/tokenizer_config.json'),
          'tokenizer.json': file('checkpoint/tokenizer.json'),
          'model.safetensors': file('mha2mla/converted_checkpoint/model.safetensors'),
          'chat_template.jinja': JSON.parse(
            new TextDecoder().decode(file('checkpoint/chat_template.json')),
          ).chat_template,
        });
  const { config } = await openVlm(store, { families: [qwen25Vl] });
  const processor = await qwen25Vl.loadProcessor(config, store);
  await store.close?.();
  return processor;
}

describe.each(['published', 'newer'] as const)('%s files', (layout) => {
  let processor: Processor;
  beforeAll(async () => {
    processor = await load(layout);
  });

  test.each(['p0', 'p1', 'p2', 'p3', 'p4'])('%s: inputs equal those of Hugging Face', async (p) => {
    const inputs = processor.process([await sampleOf(p)]);
    const tensors = readSafetensors(fixture(`${FOLDER}/goldens/${p}.safetensors`));
    const compared = compareIntegers(inputs, tensors);
    for (const [name, own] of Object.entries({
      pixel_values: inputs.pixelValues,
      pixel_values_videos: inputs.pixelValuesVideos,
    })) {
      const golden = tensors.get(name);
      expect(own?.shape, name).toEqual(golden?.shape);
      // The resize is Pillow's to the last bit; 0.016 (one grey level) would be fair.
      if (golden) expectClose((own as PixelValues).data, golden.data, { abs: 1e-6 });
    }
    expect(compared).toContain('input_ids');
  });

  test.each([
    ['p0', 'p1'],
    ['p0', 'p4'],
  ])('a batch of %s and %s is left-padded', async (...names) => {
    const inputs = processor.process(await Promise.all(names.map(sampleOf)));
    const path = `${FOLDER}/goldens/batch_${names.join('_')}.safetensors`;
    const compared = compareIntegers(inputs, readSafetensors(fixture(path)));
    expect(compared).toEqual(['input_ids', 'attention_mask', 'image_grid_thw']);
  });
});

/** Compare ids, masks, grids and seconds. @returns the names that both have. */
function compareIntegers(inputs: ModelInputs, tensors: ReturnType<typeof readSafetensors>) {
  const own = {
    input_ids: inputs.inputIds,
    attention_mask: inputs.attentionMask,
    image_grid_thw: inputs.imageGridThw,
    video_grid_thw: inputs.videoGridThw,
    second_per_grid_ts: inputs.secondPerGridTs,
  };
  return Object.entries(own).flatMap(([name, values]) => {
    expect(values && [...values], name).toEqual(tensors.get(name) && [...tensors.get(name)!.data]);
    return values ? [name] : [];
  });
}

describe('places of media', () => {
  test('pictures and videos without a place, and places without them, are refused', async () => {
    const processor = await load('published');
    const { messages, images, videos } = await sampleOf('p3');
    const process = (sample: ProcessorSample) => () => processor.process([sample]);
    expect(process({ messages, images, videos: [] })).toThrow(/1 places and 0 videos in sample 0/);
    expect(process({ messages, images: [], videos })).toThrow(/1 places and 0 pictures/);
    expect(process({ messages, images })).toThrow(/0 videos/);
    const twice = [...videos!, ...videos!];
    expect(process({ messages, images, videos: twice })).toThrow(/1 places and 2 videos/);
  });

  test('the default system prompt stands where none is given', async () => {
    const processor = await load('published');
    const ids = processor.process([await sampleOf('p0')]).inputIds;
    expect(processor.tokenizer.decode([...ids])).toMatch(
      /^<\|im_start\|>system\nYou are a helpful/,
    );
  });
});
