/** Which adapters are taken: by either layout of names, with ranks by module; all else is refused. */

import { readFileSync } from 'node:fs';
import { memoryStore, writeSafetensors } from '@mha2mla/checkpoint';
import { describeBackends, fixture, readSafetensors } from '@mha2mla/testing';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { loadAdapter } from './load-adapter';
import { ModelAdapters } from './model-adapters';
import { saveAdapter } from './save-adapter';
import { loadGoldenModel } from './testing/peft-goldens';

interface Stored {
  shape: number[];
  data: Float32Array;
}
type Change = (tensors: Map<string, Stored>) => void;

/** The adapter `lora_list` of llava, changed. */
async function changed(config: object, change: Change = () => {}) {
  const folder = 'fixtures/peft/llava/lora_list';
  const json = JSON.parse(readFileSync(fixture(`${folder}/adapter_config.json`), 'utf8'));
  const file = readSafetensors(fixture(`${folder}/adapter_model.safetensors`));
  const tensors = new Map(
    [...file].map(([name, { shape, data }]) => [name, { shape, data: data as Float32Array }]),
  );
  change(tensors);
  const output = memoryOutput();
  await output.write('adapter_model.safetensors', (sink) =>
    writeSafetensors(
      sink,
      [...tensors].map(([name, { shape }]) => ({ name, shape, dtype: 'F32' as const })),
      ({ name }) => tensors.get(name)!.data,
    ),
  );
  const files = new Map<string, Uint8Array | string>(output.files);
  files.set('adapter_config.json', JSON.stringify({ ...json, ...config }));
  return memoryStore(files);
}

const first = (tensors: Map<string, Stored>, part: string) =>
  [...tensors.keys()].find((name) => name.includes(part))!;
/** Give the first tensor of a part another number of rows. */
const reshaped =
  (part: string, shape: number[]): Change =>
  (tensors) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    tensors.set(first(tensors, part), { shape, data });
  };

describeBackends('adapters from files', () => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    model = await loadGoldenModel('llava');
  });
  afterAll(() => model.dispose());

  test.each([
    ['bias', { bias: 'all' }],
    ['modules_to_save', { modules_to_save: ['lm_head'] }],
    ['layers_to_transform', { layers_to_transform: [0] }],
    ['lora_bias', { lora_bias: true }],
    ['use_qalora', { use_qalora: true }],
    ['fan_in_fan_out', { fan_in_fan_out: true }],
    ['exclude_modules', { exclude_modules: ['vision_tower'] }],
    ['init_lora_weights', { init_lora_weights: 'pissa' }],
    ['peft_type', { peft_type: 'IA3' }],
    ['of_a_later_version', { of_a_later_version: 1 }],
    ['rank_pattern', { rank_pattern: { '(a+)+': 2 } }],
    ['target_modules', { target_modules: [] }],
    ['target_modules', { target_modules: ['q_proj'] }],
    ['target_modules', { target_modules: ['q_proj', 'k_proj', 'v_proj'] }],
    ['"r"', { r: 2 ** 40 }],
    ['"r"', { r: 1.5 }],
    ['lora_alpha', { lora_alpha: 1e300 }],
    ['lora_dropout', { lora_dropout: 1 }],
    ['use_dora', { use_dora: 'yes' }],
    ['lora_A.weight', { r: 3 }],
    ['lora_magnitude_vector', { use_dora: true }],
  ])('a config is refused by the name of its key: %s %o', async (key, config) => {
    const adapters = new ModelAdapters(model);
    const before = tf.memory().numTensors;
    await expect(loadAdapter(adapters, await changed(config))).rejects.toThrow(key);
    expect(tf.memory().numTensors).toBe(before);
    expect(adapters.adapters.size).toBe(0);
    adapters.dispose();
  });

  test.each<[string, Change]>([
    ['must be [2,128], got [3,128]', reshaped('layers.0.self_attn.q_proj.lora_A', [3, 128])],
    ['must be [2,64], got [2,128]', reshaped('vision_tower', [2, 128])],
    ['got none', (tensors) => tensors.delete(first(tensors, 'lora_B'))],
    ['got 0 others', (tensors) => tensors.clear()],
    [
      'got 1 others: "base_model.model.lm_head.lora_A.weight"',
      (tensors) =>
        tensors.set('base_model.model.lm_head.lora_A.weight', {
          shape: [1],
          data: new Float32Array(1),
        }),
    ],
    [
      'must hold finite numbers',
      (tensors) => tensors.get(first(tensors, 'lora_B'))!.data.fill(Number.NaN),
    ],
  ])('weights are refused that do not fit: %s', async (message, change) => {
    const adapters = new ModelAdapters(model);
    const before = tf.memory().numTensors;
    await expect(loadAdapter(adapters, await changed({}, change))).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
    adapters.dispose();
  });

  test('files that are not there are named', async () => {
    const adapters = new ModelAdapters(model);
    await expect(loadAdapter(adapters, memoryStore({}))).rejects.toThrow('adapter_config.json');
    const config = { peft_type: 'LORA', target_modules: ['q_proj'] };
    const store = memoryStore({ 'adapter_config.json': JSON.stringify(config) });
    await expect(loadAdapter(adapters, store)).rejects.toThrow('adapter_model.safetensors');
    adapters.dispose();
  });

  test.each(['4.57.6', '5.23.0'])(
    'the names of transformers %s are read, and written back',
    async (version) => {
      const path = fixture('fixtures/hf/llava/newer_layout/names.json');
      const names: Record<string, Record<string, string>> = JSON.parse(readFileSync(path, 'utf8'));
      const rename: Change = (tensors) => {
        for (const [key, tensor] of [...tensors]) {
          const [, module, part] = /^base_model\.model\.(.*)\.(lora_[AB]\.weight)$/.exec(key)!;
          const newer = names[`${module}.weight`]![version]!.slice(0, -'.weight'.length);
          tensors.delete(key);
          tensors.set(`base_model.model.${newer}.${part}`, tensor);
        }
      };
      const adapters = new ModelAdapters(model);
      await loadAdapter(adapters, await changed({}), { name: 'published' });
      const store = await changed({}, rename);
      await loadAdapter(adapters, store, { name: 'newer' });
      const values = (name: string) =>
        Promise.all(adapters.parameters(name).map(({ variable }) => variable.data()));
      expect(await values('newer')).toEqual(await values('published'));
      const output = memoryOutput();
      await saveAdapter(adapters, 'newer', output);
      const source = (await store.open('adapter_model.safetensors'))!;
      expect(output.files.get('adapter_model.safetensors')).toEqual(
        await source.read(0, source.size),
      );
      adapters.dispose();
    },
  );

  test('rank_pattern and alpha_pattern hold for the modules that they name', async () => {
    const q = 'language_model.model.layers.0.self_attn.q_proj';
    const patterns = {
      rank_pattern: { [q]: 3 },
      alpha_pattern: { 'layers.0.self_attn.q_proj': 12 },
    };
    const wider: Change = (tensors) => {
      for (const [part, shape] of [
        ['A', [3, 128]],
        ['B', [128, 3]],
      ] as const) {
        const data = new Float32Array(384).fill(0.5);
        tensors.set(`base_model.model.${q}.lora_${part}.weight`, { shape: [...shape], data });
      }
    };
    const adapters = new ModelAdapters(model);
    await loadAdapter(adapters, await changed(patterns, wider));
    adapters.setAdapter('default');
    const maps = model.decoder.layers[0]!.projections;
    const scales = ['q_proj', 'v_proj'].map((name) => {
      const map = maps.get(`self_attn.${name}`) as unknown as {
        adapters: Map<string, { scale: number; r: number }>;
      };
      const { scale, r } = map.adapters.get('default')!;
      return [r, scale];
    });
    // Layer 0 of the tower ends in the same name, and takes the same alpha.
    expect(scales).toEqual([
      [3, 4],
      [2, 2],
    ]);
    adapters.dispose();
  });

  test('names that are taken or unknown are refused, and DoRA beside another', async () => {
    const adapters = new ModelAdapters(model);
    await loadAdapter(adapters, await changed({}), { name: 'one' });
    await expect(loadAdapter(adapters, await changed({}), { name: 'one' })).rejects.toThrow(
      'must differ, got one twice',
    );
    expect(() => adapters.setAdapter('two')).toThrow('expected one of the adapters one, got two');
    expect(() => adapters.delete('two')).toThrow('got two');
    adapters.setAdapter('one');
    expect(() => adapters.setAdapter(['one', 'one'])).toThrow('must differ');
    expect(adapters.activeAdapters).toEqual(['one']);
    adapters.dispose();
  });
});
