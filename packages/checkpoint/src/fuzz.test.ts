import { readFileSync } from 'node:fs';
import { fixture, fuzzBytes, fuzzJson, joinSafetensors, splitSafetensors } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import type { FileStore } from './byte-source';
import { memorySource, memoryStore } from './memory-store';
import { readModelConfig } from './model-config';
import { openCheckpoint } from './open-checkpoint';
import { openSafetensors } from './open-safetensors';
import { parseTensorPickle } from './pth-pickle';
import { readPth } from './read-pth';
import { readRankFile } from './read-rank-file';

const HF = 'fixtures/hf';
const FAMILIES = ['llava', 'llava_next', 'qwen2_5_vl'];
const file = (path: string) => new Uint8Array(readFileSync(fixture(`${HF}/${path}`)));
const json = (path: string) => JSON.parse(readFileSync(fixture(`${HF}/${path}`), 'utf8'));

/** Open a file and read all that it has, as its dtypes allow. */
async function readAll(bytes: Uint8Array): Promise<void> {
  const checkpoint = await openSafetensors(memorySource(bytes));
  for (const { name, dtype } of checkpoint.tensors.values()) {
    if (/^B?F/.test(dtype)) await checkpoint.readFloat32(name);
    else await checkpoint.readInt32(name);
  }
}

describe('safetensors', () => {
  test('edited bytes of the header', async () => {
    const bytes = file('llava/mha2mla/ranks.safetensors');
    await fuzzBytes(bytes, readAll, { runs: 2000, reach: 90 });
  });

  test('edited values of the header', async () => {
    const { header, body } = splitSafetensors(file('qwen2_5_vl/mha2mla/rope_idx.safetensors'));
    await fuzzJson(header, (text) => readAll(joinSafetensors(text, body)), { runs: 1000 });
  });

  test('edited bytes of a whole file', async () => {
    await fuzzBytes(file('llava_next/mha2mla/ranks.safetensors'), readAll, { runs: 1000 });
  });
});

describe('index of shards', () => {
  const index = json('qwen2_5_vl/checkpoint/model.safetensors.index.json');
  const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const files = shards.map((name) => [name, file(`qwen2_5_vl/checkpoint/${name}`)] as const);
  const storeWith = (text: string | Uint8Array) => {
    const store = memoryStore(new Map([...files, ['model.safetensors.index.json', text]]));
    const asked: string[] = [];
    const open: FileStore['open'] = (path) => {
      asked.push(path);
      return store.open(path);
    };
    return { asked, store: { ...store, open } };
  };
  /** Whatever the index says, only plain names are asked for. */
  const read = async (text: string | Uint8Array) => {
    const { asked, store } = storeWith(text);
    try {
      await openCheckpoint(store);
    } finally {
      expect(asked.filter((path) => /[/\\:]|^\.\.?$/.test(path))).toEqual([]);
    }
  };

  test('edited values', () => fuzzJson(index, read, { runs: 300 }));

  test('edited bytes', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify(index));
    await fuzzBytes(bytes, read, { runs: 300 });
  });
});

describe('one-tensor .pth', () => {
  const archive = file('llava/mha2mla/ranks.pth');
  const pickle = archive.slice(0x40, 0x40 + 158); // data.pkl, after its local header

  test('edited bytes of the file', async () => {
    await fuzzBytes(archive, (bytes) => readPth(memorySource(bytes)), { runs: 2000 });
    await fuzzBytes(archive, (bytes) => readRankFile(memorySource(bytes)), { runs: 1000 });
  });

  test('edited bytes of the pickle, past its CRC', async () => {
    expect(parseTensorPickle(pickle).shape).toEqual([4, 4, 32]);
    await fuzzBytes(pickle, parseTensorPickle, { runs: 5000 });
    await fuzzBytes(pickle, parseTensorPickle, { runs: 5000, sameLength: true });
  });
});

describe('config.json', () => {
  const read = (text: string | Uint8Array) => readModelConfig(memoryStore({ 'config.json': text }));

  test.each([
    ...FAMILIES.flatMap((family) => [`${family}/checkpoint`, `${family}/newer_layout`]),
    'qwen2_5_vl/mha2mla/converted_checkpoint',
  ])('edited values of %s', async (folder) => {
    await fuzzJson(json(`${folder}/config.json`), read, { runs: 500 });
  });

  test('edited bytes', async () => {
    await fuzzBytes(file('llava/newer_layout/config.json'), read, { runs: 1000 });
  });
});
