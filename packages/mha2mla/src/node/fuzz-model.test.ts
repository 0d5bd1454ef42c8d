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
].filter((folder) => {
  const { model_type } = JSON.parse(readFileSync(fixture(`${folder}/config.json`), 'utf8'));
  return FAMILIES.some(({ modelTypes }) => modelTypes.includes(model_type));
});

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** A picture with colours, wide enough to be cut by any processor. */
const picture: RgbImage = {
  data: Uint8Array.from({ length: 90 * 40 * 3 }, (_, i) => (i * 31) % 256),
  width: 90,
  height: 40,
};

function filesOf(folder: string) {
  const names = readdirSync(fixture(folder));
  const files = new Map(
    names.map((name) => [name, new Uint8Array(readFileSync(fixture(`${folder}/${name}`)))]),
  );
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
    await fuzzJson(json('config.json'), read, { runs: 150, maxBytes });
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
    await fuzzBytes(files.get(name)!, read, { runs: 20, sameLength: true, maxBytes });
  });
});

describe.each(FOLDERS.filter((folder) => folder.endsWith('/checkpoint')))('%s', (folder) => {
  const { json, storeWith } = filesOf(folder);

  test('preprocessor_config.json with edited values, run on a picture', async () => {
    const read = async (text: string) => {
      const store = storeWith('preprocessor_config.json', text);
      const { family, config } = await openVlm(store, { families: FAMILIES });
      const processor = await family.loadProcessor(config, store);
      processor.processImages([picture]);
    };
    await fuzzJson(json('preprocessor_config.json'), read, { runs: 200, maxBytes: 2 ** 26 });
  });
});
