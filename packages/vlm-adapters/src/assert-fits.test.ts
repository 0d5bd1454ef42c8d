import { nodeStore } from '@mha2mla/checkpoint/node';
import { describeBackends, describeWebGpu, fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { assertFits } from './assert-fits';
import { llava } from './llava/llava-family';
import { llavaNext } from './llava-next/llava-next-family';
import { openVlm, type VlmSource } from './open-vlm';
import { qwen25Vl } from './qwen2-5-vl/qwen2-5-vl-family';
import { VisionLanguageModel } from './vision-language-model';
import { weightSizes } from './weight-sizes';

async function open<T>(folder: string, use: (source: VlmSource) => Promise<T>): Promise<T> {
  const store = await nodeStore(fixture(folder));
  try {
    return await use(await openVlm(store, { families: [llava, llavaNext, qwen25Vl] }));
  } finally {
    await store.close?.();
  }
}

/** The same names with matrices `factor` times as high and as wide. */
function grown(source: VlmSource, factor: number): VlmSource {
  const shape = (name: string) => {
    const own = source.weights.shape(name);
    return own?.length === 2 ? own.map((size) => size * factor) : own;
  };
  return { ...source, weights: Object.assign(Object.create(source.weights), { shape }) };
}

describeBackends('the sizes of weights', () => {
  test.each([
    'fixtures/hf/llava/checkpoint',
    'fixtures/hf/llava_next/checkpoint',
    'fixtures/hf/qwen2_5_vl/checkpoint',
  ])('are those of the loaded model: %s', async (folder) => {
    await open(folder, async (source) => {
      for (const weights of ['f32', 'f16', 'int4'] as const) {
        const before = tf.memory().numBytes;
        const model = await VisionLanguageModel.load(source, { weights });
        expect(tf.memory().numBytes - before).toBe(weightSizes(source, { weights }).tensorBytes);
        model.dispose();
      }
    });
  });
});

test('the memory of wasm refuses a model in f32 that it holds packed, before a weight is read', async () => {
  await tf.setBackend('wasm');
  await open('models/llava', async (source) => {
    assertFits(source);
    const read = () => Promise.reject(new Error('no weight may be read'));
    const large = grown(source, 40);
    Object.assign(large.weights, { read, readRows: read });
    await expect(VisionLanguageModel.load(large)).rejects.toThrow(
      /^assertFits: weights in f32 must fit into the 3\.80 GB of wasm's memory, got \d+\.\d+ GB\. Keep them as f16 \(.* GB\), int8 \(.* GB\), int4 \(.* GB\), by `weights` or --weights\.$/,
    );
    assertFits(large, { weights: 'int4' });
  });
});

test('a machine that is too small for every format is told so', async () => {
  await tf.setBackend('cpu');
  await open('models/llava', async (source) => {
    assertFits(source, { memoryBytes: 1e8 });
    expect(() => assertFits(source, { memoryBytes: 4e6 })).toThrow(
      /must fit into 0\.00 GB of memory, got 0\.01 GB\. Keep them as int8 \(0\.00 GB\), int4/,
    );
    expect(() => assertFits(source, { memoryBytes: 1e5 })).toThrow(/Choose another backend/);
  });
});

describeWebGpu('the buffers of a device', () => {
  test('refuse a tensor that is too large for them by name', async () => {
    await open('models/llava', async (source) => {
      assertFits(source);
      const large = grown(source, 60);
      expect(() => assertFits(large)).toThrow(
        /must be tensors that fit into the device's buffers of .* GB, got .*\.weight of .* GB\. Keep them as/,
      );
      assertFits(large, { weights: 'int8' });
    });
  });
});
