import { readFileSync } from 'node:fs';
import { type FileStore, memoryStore } from '@mha2mla/checkpoint';
import {
  describeBackends,
  expectClose,
  expectNoLeak,
  type FixtureTensor,
  fixture,
  readSafetensors,
} from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { llava } from './llava/llava-family';
import type { ModelInputs } from './model-inputs';
import { openVlm } from './open-vlm';
import { logitsOf } from './testing/logits-of';
import { type StoredTensor, tensorStore } from './testing/tensor-store';
import { VisionLanguageModel } from './vision-language-model';

const LLAVA = 'fixtures/hf/llava';
const readJson = (path: string) => JSON.parse(readFileSync(fixture(`${LLAVA}/${path}`), 'utf8'));
const config = readJson('checkpoint/config.json');
const stored = readSafetensors(fixture(`${LLAVA}/checkpoint/model.safetensors`)) as Map<
  string,
  FixtureTensor & StoredTensor
>;

const open = async (store: FileStore) => openVlm(store, { families: [llava] });
const load = async (store: FileStore) => VisionLanguageModel.load(await open(store));

/** The published checkpoint, with some tensors changed. */
async function published(changes: [string, StoredTensor | undefined][] = []): Promise<FileStore> {
  const tensors = new Map<string, StoredTensor>(stored);
  for (const [name, tensor] of changes) {
    if (tensor) tensors.set(name, tensor);
    else tensors.delete(name);
  }
  return tensorStore(config, tensors);
}

function golden(prompt: string) {
  const tensors = readSafetensors(fixture(`${LLAVA}/goldens/${prompt}.safetensors`));
  const ids = tensors.get('input_ids')!;
  const pixels = tensors.get('pixel_values');
  const inputs: ModelInputs = {
    batch: ids.shape[0]!,
    length: ids.shape[1]!,
    inputIds: ids.data as Int32Array,
    attentionMask: tensors.get('attention_mask')!.data as Int32Array,
    ...(pixels && { pixelValues: { data: pixels.data as Float32Array, shape: pixels.shape } }),
  };
  return { inputs, logits: tensors.get('logits')!.data, ids: tensors.get('generated_ids')!.data };
}

describeBackends('VisionLanguageModel', () => {
  let model: VisionLanguageModel;
  let ownLogits: Float32Array;
  const { inputs, logits, ids } = golden('p0');

  beforeAll(async () => {
    model = await load(await published());
    ownLogits = await logitsOf(model, inputs);
  });
  afterAll(() => model.dispose());

  test.each(['4.57.6', '5.23.0'])(
    'a checkpoint in the names of transformers %s gives the logits of the published one',
    async (version) => {
      const names: Record<string, Record<string, string>> = readJson('newer_layout/names.json');
      const renamed = [...stored].map(
        ([name, tensor]) => [names[name]![version]!, tensor] as const,
      );
      const store = await tensorStore(readJson('newer_layout/config.json'), new Map(renamed));
      const newer = await load(store);
      const values = await logitsOf(newer, inputs);
      newer.dispose();
      expect(values).toEqual(ownLogits);
      expectClose(values, logits, { abs: 1e-4 }); // float32 sums in another order
    },
  );

  test('generates the greedy tokens, and stops after an end token', async () => {
    const tokens = async (eosTokenIds: number[]) => {
      const steps = model.generate(inputs, { maxTokens: 5, eosTokenIds });
      const found: number[] = [];
      for await (const step of steps) found.push(...step.tokens);
      return found;
    };
    expect(await tokens([])).toEqual([...ids.slice(0, 5)]);
    expect(await tokens([ids[2]!])).toEqual([...ids.slice(0, 3)]);
  });

  test('pictures and their tokens must agree', () => {
    const { pixelValues, ...text } = inputs;
    expect(() => model.embed(text)).toThrow(/got 16 tokens and 0 features/);
    const two = { data: new Float32Array(2 * 3 * 56 * 56), shape: [2, 3, 56, 56] };
    expect(() => model.embed({ ...inputs, pixelValues: two })).toThrow(/16 tokens and 32 features/);
    const words = golden('p2').inputs;
    expect(() => model.embed({ ...words, pixelValues })).toThrow(/0 tokens and 16 features/);
    const wide = { data: new Float32Array(3 * 56 * 57), shape: [1, 3, 56, 57] };
    expect(() => model.embed({ ...inputs, pixelValues: wide })).toThrow(/\[pictures, 3, 56, 56\]/);
    const short = { data: new Float32Array(5), shape: [1, 3, 56, 56] };
    expect(() => model.embed({ ...inputs, pixelValues: short })).toThrow(/got 5 values/);
  });

  test('load, embed, generate and dispose leave nothing behind, an error neither', () =>
    expectNoLeak(async () => {
      const own = await load(await published());
      own.embed(inputs).dispose();
      expect(() => own.embed({ ...inputs, pixelValues: undefined })).toThrow(/0 features/);
      for await (const _ of own.generate(inputs, { maxTokens: 2, eosTokenIds: [] }));
      for await (const _ of own.generate(inputs, { eosTokenIds: [] })) break;
      const signal = AbortSignal.abort(new Error('enough'));
      await expect(own.generate(inputs, { signal }).next()).rejects.toThrow('enough');
      own.dispose();
    }));

  test('loading that is aborted in the tower leaves nothing behind', () =>
    expectNoLeak(async () => {
      const controller = new AbortController();
      const source = await open(await published());
      const read = source.weights.read.bind(source.weights);
      source.weights.read = (name, expected) => {
        if (name.includes('layers.2.mlp.fc2')) controller.abort(new Error('enough'));
        return read(name, expected);
      };
      const { signal } = controller;
      await expect(VisionLanguageModel.load(source, { signal })).rejects.toThrow('enough');
    }));
});

describe('weights that do not fit the config are refused by name', () => {
  const norm = 'vision_tower.vision_model.encoder.layers.1.layer_norm1.bias';
  const zeros = (...shape: number[]) => ({
    shape,
    data: new Float32Array(shape.reduce((product, size) => product * size, 1)),
  });
  test.each<[string, [string, StoredTensor | undefined], RegExp]>([
    ['missing in the tower', [norm, undefined], /the llava family expects .*layer_norm1\.bias"/],
    ['shape', ['multi_modal_projector.linear_1.weight', zeros(128, 65)], /must be \[128,64\].*65/],
    ['rank', [norm, zeros(64, 1)], /must be \[64\] by config.json, got \[64,1\]/],
    ['not a number', [norm, { shape: [64], data: new Float32Array(64).fill(NaN) }], /finite/],
  ])('%s', async (_, change, message) => {
    const before = tf.memory().numTensors;
    await expect(load(await published([change]))).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('missing in the decoder, before any weight is read', async () => {
    const store = await published([['language_model.lm_head.weight', undefined]]);
    await expect(load(store)).rejects.toThrow(
      'the llava family expects all its weights, got a checkpoint without "language_model.lm_head.weight"; of no use to it are none.',
    );
  });

  test('no weights at all', async () => {
    const store = memoryStore({ 'config.json': JSON.stringify(config) });
    await expect(load(store)).rejects.toMatchObject({ code: 'missing-file' });
  });
});
