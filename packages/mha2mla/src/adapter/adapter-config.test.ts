import { readFileSync } from 'node:fs';
import { memoryStore, writeSafetensors } from '@mha2mla/checkpoint';
import { fixture } from '@mha2mla/testing';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { parseAdapterConfig, patternValue } from './adapter-config';
import { loadAdapter } from './load-adapter';
import { ModelAdapters } from './model-adapters';
import { goldenAdapter, loadGoldenModel } from './testing/peft-goldens';

const published = JSON.parse(
  readFileSync(fixture('fixtures/peft/llava/lora/adapter_config.json'), 'utf8'),
) as Record<string, unknown>;

describe('adapter_config.json', () => {
  test('as PEFT writes it', () => {
    expect(parseAdapterConfig(published)).toEqual({
      ...{ r: 4, loraAlpha: 8, useRslora: false, useDora: false, loraDropout: 0 },
      targetModules: published.target_modules,
      rankPattern: new Map(),
      alphaPattern: new Map(),
    });
  });

  test('patterns of ranks go by whole names and their ends', () => {
    const { rankPattern } = parseAdapterConfig({ ...published, rank_pattern: { 'mlp.up': 2 } });
    const ranks = ['mlp.up', 'layers.1.mlp.up', 'layers.1.xmlp.up'].map((module) =>
      patternValue(rankPattern, module),
    );
    expect(ranks).toEqual([2, 2, undefined]);
  });

  test.each<[string, unknown, RegExp]>([
    ['peft_type', 'IA3', /"peft_type" must be LORA, got "IA3"/],
    ['bias', 'all', /"bias" must be none, got "all"/],
    ['init_lora_weights', 'pissa', /"init_lora_weights" must be/],
    ['modules_to_save', ['lm_head'], /"modules_to_save" must be off/],
    ['layers_to_transform', [0], /"layers_to_transform" must be off/],
    ['a_key_of_later', true, /"a_key_of_later" must be off/],
    ['r', 0, /"r" must be an integer in 1\.\.65536, got "0"/],
    ['r', 1e9, /got "1000000000"/],
    ['lora_alpha', Number.POSITIVE_INFINITY, /lora_alpha/],
    ['lora_dropout', 1, /lora_dropout/],
    ['target_modules', [], /target_modules must be a pattern or a list/],
    ['target_modules', 7, /target_modules must be a pattern or a list/],
    ['rank_pattern', { '(a+)+$': 3 }, /plain names as its keys/],
    ['use_dora', 'yes', /use_dora/],
  ])('%s of %o is refused', (key, value, message) => {
    expect(() => parseAdapterConfig({ ...published, [key]: value })).toThrow(message);
  });

  test.each([[null], [[]], ['{}'], [3]])('%o is no config', (json) => {
    expect(() => parseAdapterConfig(json)).toThrow('must be an object');
  });
});

describe('an adapter that does not fit', () => {
  let model: VisionLanguageModel;
  let adapters: ModelAdapters;
  beforeAll(async () => {
    await tf.setBackend('cpu');
    model = await loadGoldenModel('llava');
    adapters = new ModelAdapters(model);
  });
  afterAll(() => {
    adapters.dispose();
    model.dispose();
  });

  const MODULE = 'base_model.model.language_model.model.layers.0.self_attn.q_proj';
  /** A file of one module. */
  async function store(tensors: Record<string, number[]>, config = {}, fill = 0) {
    const output = memoryOutput();
    const entries = Object.entries(tensors).map(([name, shape]) => ({
      ...{ name, shape, dtype: 'F32' as const },
    }));
    await output.write('adapter_model.safetensors', (sink) =>
      writeSafetensors(sink, entries, ({ shape }) =>
        new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(fill),
      ),
    );
    const json = { ...published, target_modules: '.*q_proj', ...config };
    output.files.set('adapter_config.json', new TextEncoder().encode(JSON.stringify(json)));
    return memoryStore(output.files);
  }
  const hiddenSize = 128;
  const whole = {
    [`${MODULE}.lora_A.weight`]: [4, hiddenSize],
    [`${MODULE}.lora_B.weight`]: [hiddenSize, 4],
  };

  test.each<[string, Record<string, number[]>, object, RegExp]>([
    ['without B', { [`${MODULE}.lora_A.weight`]: [4, hiddenSize] }, {}, /lora_B.weight" must be/],
    ['of another r', whole, { r: 5 }, /lora_A.weight" must be \[5,128\], got \[4,128\]/],
    [
      'of another model',
      { [`${MODULE.replace('layers.0', 'layers.77')}.lora_A.weight`]: [4, hiddenSize] },
      {},
      /must hold weights of the model's modules/,
    ],
    ['with no tensors', {}, {}, /must hold weights of the model's modules/],
    [
      'with fewer modules than it names',
      whole,
      { target_modules: ['q_proj'] },
      /target_modules must name the modules with weights/,
    ],
    ['without magnitudes', whole, { use_dora: true }, /lora_magnitude_vector" must be \[128\]/],
  ])('%s is refused, and nothing is left', async (_, tensors, config, message) => {
    const before = tf.memory().numTensors;
    await expect(loadAdapter(adapters, await store(tensors, config))).rejects.toThrow(message);
    expect(adapters.adapters.size).toBe(0);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('with a weight of NaN is refused', async () => {
    const bad = await store(whole, {}, Number.NaN);
    await expect(loadAdapter(adapters, bad)).rejects.toThrow(/lora_A.weight.*NaN/);
  });

  test('without its files is refused by name', async () => {
    const none = memoryStore(new Map([['adapter_config.json', Buffer.from('{')]]));
    await expect(loadAdapter(adapters, none)).rejects.toThrow('adapter_config.json');
    const config = Buffer.from(JSON.stringify(published));
    const half = memoryStore(new Map([['adapter_config.json', config]]));
    await expect(loadAdapter(adapters, half)).rejects.toThrow('adapter_model.safetensors');
  });

  test('names are taken once', async () => {
    await loadAdapter(adapters, goldenAdapter('llava', 'lora'));
    await expect(loadAdapter(adapters, goldenAdapter('llava', 'lora'))).rejects.toThrow(
      'adapter names must differ, got default twice',
    );
    expect(() => adapters.setAdapter('other')).toThrow('one of the adapters default, got other');
    adapters.delete('default');
  });
});
