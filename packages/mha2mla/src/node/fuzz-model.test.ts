/** Whole models with edited files, of every family: opened, compared, loaded, and their processors. */
import { readdirSync, readFileSync } from 'node:fs';
import { type FileStore, memoryStore } from '@mha2mla/checkpoint';
import { fixture, fuzzBytes, fuzzJson, joinSafetensors, splitSafetensors } from '@mha2mla/testing';
import {
  openVlm,
  type RgbImage,
  tensorDifference,
  VisionLanguageModel,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, test } from 'vitest';
import { FAMILIES } from './open-model';

const HF = 'fixtures/hf';
const FOLDERS = [
  ...['llava', 'llava_next', 'qwen2_5_vl'].map((name) => `${HF}/${name}/checkpoint`),
  `${HF}/qwen2_5_vl/mha2mla/converted_checkpoint`,
];

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** A picture with colours, wide enough to be cut by any processor. */
const picture: RgbImage = {
  data: Uint8Array.from({ length: 90 * 40 * 3 }, (_, i) => (i * 31) % 256),
  width: 90,
  height: 40,
};

const ranksOf = (family: string) =>
  new Uint8Array(readFileSync(fixture(`${HF}/${family}/mha2mla/ranks.pth`)));

function filesOf(folder: string) {
  const names = readdirSync(fixture(folder));
  const files = new Map(
    names.map((name) => [name, new Uint8Array(readFileSync(fixture(`${folder}/${name}`)))]),
  );
  if (folder.endsWith('/converted_checkpoint')) files.set('ranks.pth', ranksOf('qwen2_5_vl'));
  const json = (name: string) => JSON.parse(new TextDecoder().decode(files.get(name)));
  const storeWith = (name: string, content: string | Uint8Array) =>
    memoryStore(new Map([...files, [name, content]]));
  return { names, files, json, storeWith };
}

describe.each(FOLDERS)('%s', (folder) => {
  const { names, files, json, storeWith } = filesOf(folder);
  const sizeBytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);

  /** Weights are read, widened and transposed: never more than the folder holds, a few times over. */
  const maxBytes = 8 * sizeBytes + 2 ** 22;

  async function load(store: FileStore): Promise<void> {
    const before = tf.memory().numTensors;
    try {
      const source = await openVlm(store, { families: FAMILIES });
      tensorDifference(source);
      (await VisionLanguageModel.load(source)).dispose();
    } finally {
      expect(tf.memory().numTensors - before).toBe(0);
    }
  }

  test('config.json with edited values', async () => {
    const read = (text: string) => load(storeWith('config.json', text));
    await fuzzJson(json('config.json'), read, { runs: 100, maxBytes });
  });

  test('weights with an edited header', async () => {
    const name = names.find((one) => one.endsWith('.safetensors'))!;
    const { header, body } = splitSafetensors(files.get(name)!);
    const read = (text: string) => load(storeWith(name, joinSafetensors(text, body)));
    await fuzzJson(header, read, { runs: 60, maxBytes });
  });

  test('weights with edited numbers', async () => {
    const name = names.find((one) => one.endsWith('.safetensors'))!;
    const read = (bytes: Uint8Array) => load(storeWith(name, bytes));
    await fuzzBytes(files.get(name)!, read, { runs: 12, sameLength: true, maxBytes });
  });
});

describe.each(FOLDERS.filter((folder) => folder.endsWith('/checkpoint')))('%s', (folder) => {
  const { json, storeWith } = filesOf(folder);
  const newer = filesOf(folder.replace('/checkpoint', '/newer_layout'));
  const prompt = [{ role: 'user', content: '<image>\nWhat is it?' }];

  /** Prepare a prompt with a picture by a folder's files. */
  const prepare = async (store: FileStore) => {
    const { family, config } = await openVlm(store, { families: FAMILIES });
    const processor = await family.loadProcessor(config, store);
    processor.process([{ messages: prompt, images: [picture] }]);
  };
  const options = { runs: 150, maxBytes: 2 ** 26 };

  test('preprocessor_config.json with edited values, run on a picture', async () => {
    const name = 'preprocessor_config.json';
    const read = (text: string) => prepare(storeWith(name, text));
    await fuzzJson(json(name), read, options);
  });

  test('processor_config.json of newer classes with edited values, run on a picture', async () => {
    const name = 'processor_config.json';
    const read = (text: string) => {
      const store = storeWith(name, text);
      const isOlder = (path: string) => path === 'preprocessor_config.json';
      const open = async (path: string) => (isOlder(path) ? undefined : store.open(path));
      return prepare({ ...store, open });
    };
    await fuzzJson(newer.json(name), read, options);
  });
});

describe('what a conversion adds to config.json, with edited values', () => {
  const { files, json } = filesOf(`${HF}/llava/checkpoint`);
  const { low_rank, ...ours } = {
    low_rank: 16,
    is_gqa2mha2mla: false,
    groups: 2,
    rope_pairs: Array.from({ length: 4 }, () => Array.from({ length: 4 }, () => [0, 3, 9])),
    cache: { kv_bits: { vision: 4, text: 8 }, rope_bits: 16, group_size: 32 },
  };
  const references = {
    partial_rope_version: 'mkl',
    rope_dim_for_mla: 16,
    uniform_start_point: 0,
    qk_tensor_path: '/data/ranks.pth',
    low_rank,
  };
  const ranks = ranksOf('llava');

  test.each([
    ['ours', ours],
    ["the reference's", references],
    ['by strategy', { ...references, partial_rope_version: 'uniform' }],
  ])('%s', async (_, block) => {
    const read = async (text: string) => {
      const config = `${JSON.stringify(json('config.json')).slice(0, -1)},"mha2mla":${text}}`;
      const others: [string, string | Uint8Array][] = [
        ['ranks.pth', ranks],
        ['config.json', config],
      ];
      const store = memoryStore(new Map([...files, ...others]));
      tensorDifference(await openVlm(store, { families: FAMILIES }));
    };
    await fuzzJson(block, read, { runs: 300, maxBytes: 2 ** 22 });
  });
});
