/** Laws of kept models, over a disk in memory whose tab can be gone at any change. */
import { fuzzJson } from '@mha2mla/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FileStore } from '../byte-source';
import { memoryStore } from '../memory-store';
import { type FakeDisk, fakeDisk, GONE } from '../testing/fake-folder';
import { type KeepModelOptions, keepModel } from './keep-model';
import { keptModels } from './kept-models';
import { openKept } from './open-kept';
import { removeKept } from './remove-kept';

const CONFIG = JSON.stringify({
  model_type: 'llava',
  text_config: {
    hidden_size: 16,
    num_attention_heads: 2,
    num_hidden_layers: 1,
    intermediate_size: 8,
    vocab_size: 9,
  },
});
const weights = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 3)) % 251);
const FILES = {
  'config.json': CONFIG,
  'model.safetensors': weights(1000, 7),
  'tokenizer.json': '{}',
  'vocab.json': '',
};
type Files = Record<string, string | Uint8Array>;

let disk: FakeDisk;
let options: KeepModelOptions & { directory: FileSystemDirectoryHandle };
beforeEach(() => {
  disk = fakeDisk();
  options = { name: 'tiny', pieceBytes: 300, directory: disk.root };
});
afterEach(() => {
  vi.unstubAllGlobals();
});

/** Files of a version, and how many bytes of them were read since the pieces are fetched. */
function source(files: Files = FILES, version: string | null = 'v1') {
  const store = memoryStore(files);
  const read = { bytes: 0 };
  const asked: string[] = [];
  const open: FileStore['open'] = async (path) => {
    asked.push(path);
    const file = await store.open(path);
    return (
      file && {
        ...file,
        version: version ?? undefined,
        async read(...range) {
          const bytes = await file.read(...range);
          read.bytes += bytes.length;
          return bytes;
        },
      }
    );
  };
  return { store: { name: 'https://models.example/tiny/', open }, read, asked };
}

/** Bytes that planning reads: the config. */
const PLANNED = new TextEncoder().encode(CONFIG).length;
const TOTAL = PLANNED + 1002;

async function expectKept(files: Files = FILES) {
  const kept = await openKept('tiny', options);
  for (const [name, content] of Object.entries(files)) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    const file = (await kept.open(name))!;
    expect(await file.read(0, file.size), name).toEqual(bytes);
  }
  expect(kept.files.map(({ name }) => name).sort()).toEqual(Object.keys(files).sort());
}

test('the server is asked once for each file, and the files of weights are among them', async () => {
  const index = JSON.stringify({ weight_map: { a: 'one.safetensors', b: 'two.safetensors' } });
  const shards = { 'one.safetensors': weights(10, 3), 'two.safetensors': weights(20, 5) };
  const files = { 'config.json': CONFIG, 'model.safetensors.index.json': index, ...shards };
  const { store, asked } = source(files);
  await keepModel(store, options);
  expect(asked).toEqual([...new Set(asked)]);
  expect(asked).toEqual(expect.arrayContaining(['model.safetensors', ...Object.keys(files)]));
  await expectKept(files);
});

describe.each(['sync', 'stream'] as const)('by %s writes', (way) => {
  beforeEach(() => {
    disk.way = way;
  });

  test('a kept model is its source, is listed, and its removal frees what it took', async () => {
    const seen: [string, number, number][] = [];
    const onProgress: KeepModelOptions['onProgress'] = ({ phase, loaded, total }) =>
      seen.push([phase, loaded, total]);
    const before = Date.now();
    const kept = await keepModel(source().store, { ...options, onProgress });
    const { store } = source();
    expect(kept).toMatchObject({ name: 'tiny', source: store.name, persisted: false });
    await expectKept();
    const [listed, ...others] = await keptModels(options);
    expect(others).toEqual([]);
    expect(kept).toEqual({ ...listed, persisted: false });
    expect(listed).toMatchObject({ sizeBytes: TOTAL, keptBytes: TOTAL, complete: true });
    expect(listed!.date.getTime()).toBeGreaterThanOrEqual(before);
    expect(seen[0]).toEqual(['check', 0, TOTAL]);
    expect(seen.at(-1)).toEqual(['download', TOTAL, TOTAL]);
    expect(seen.map(([, loaded]) => loaded)).toEqual(seen.map(([, n]) => n).sort((a, b) => a - b));
    const used = disk.usedBytes();
    expect(await removeKept('tiny', options)).toBe(used);
    expect(disk.usedBytes()).toBe(0);
    expect(await keptModels(options)).toEqual([]);
    expect(await removeKept('tiny', options)).toBe(0);
  });

  test('after a cut at any change it goes on where it stopped', async () => {
    for (let cut = 0; ; cut++) {
      disk = fakeDisk();
      disk.way = way;
      options.directory = disk.root;
      disk.changesLeft = cut;
      const first = await keepModel(source().store, options).catch((error) => error);
      if (!(first instanceof Error)) break;
      expect(first, `cut ${cut}`).toBe(GONE);
      disk.changesLeft = Number.POSITIVE_INFINITY;
      const listed = await keptModels(options);
      if (listed[0]?.complete) await expectKept();
      else await expect(openKept('tiny', options)).rejects.toMatchObject({ code: 'missing-file' });
      const { store, read } = source();
      let sound = 0;
      const onProgress: KeepModelOptions['onProgress'] = ({ phase, loaded }) => {
        if (phase === 'check') sound = loaded;
      };
      await keepModel(store, { ...options, onProgress });
      expect(read.bytes, `cut ${cut}`).toBe(PLANNED + TOTAL - sound);
      await expectKept();
      expect(disk.files().size, 'pieces, record').toBe(4 + 1 + 1 + 1);
      expect(cut).toBeLessThan(100);
    }
  });
});

const pieceOf = (index: number, length = 300) =>
  [...disk.files()].find(([path, { bytes }]) => {
    return path.includes(`/${index}-`) && bytes.length === length;
  })![1];

test('a torn piece is found by its hash and comes again, alone', async () => {
  await keepModel(source().store, options);
  const piece = pieceOf(1);
  piece.bytes = piece.bytes.map((byte, i) => (i === 17 ? byte ^ 1 : byte));
  const flipped = source();
  await keepModel(flipped.store, options);
  expect(flipped.read.bytes).toBe(PLANNED + 300);
  await expectKept();
  pieceOf(2).bytes = weights(299, 1);
  await expect(openKept('tiny', options)).rejects.toMatchObject({ code: 'missing-file' });
  await keepModel(source().store, options);
  await expectKept();
});

describe('a version that changed', () => {
  const second = { ...FILES, 'model.safetensors': weights(1000, 11) };

  test('never mixes with the one before, which stays whole until this one is', async () => {
    let cut = 0;
    for (; ; cut++) {
      disk = fakeDisk();
      options.directory = disk.root;
      await keepModel(source().store, options);
      disk.changesLeft = cut;
      const ended = await keepModel(source(second, 'v2').store, options).catch((error) => error);
      disk.changesLeft = Number.POSITIVE_INFINITY;
      const file = await (await openKept('tiny', options)).open('model.safetensors');
      const isSecond = (await file!.read(1, 2))[0] === second['model.safetensors'][1];
      await expectKept(isSecond ? second : FILES);
      await keepModel(source(second, 'v2').store, options);
      await expectKept(second);
      expect(disk.files().size).toBe(4 + 1 + 1 + 1);
      if (!(ended instanceof Error)) break;
    }
    expect(cut).toBeGreaterThan(20);
  });

  test('is not gone on with where none is told', async () => {
    disk.changesLeft = 20;
    await keepModel(source(FILES, null).store, options).catch(() => {});
    disk.changesLeft = Number.POSITIVE_INFINITY;
    const { store, read } = source(second, null);
    await keepModel(store, options);
    expect(read.bytes).toBe(PLANNED + TOTAL);
    await expectKept(second);
  });
});

describe('space', () => {
  test('a full quota is an error with figures, loses nothing, and is gone on from', async () => {
    disk.quotaBytes = 1700;
    await expect(keepModel(source().store, options)).rejects.toMatchObject({
      code: 'disk-full',
      message: expect.stringMatching(/"tiny" needs \d{3} bytes more.*What was kept of it stays/),
    });
    disk.quotaBytes = Number.POSITIVE_INFINITY;
    const { store, read } = source();
    await keepModel(store, options);
    expect(read.bytes).toBeLessThan(PLANNED + TOTAL - 300);
    await expectKept();
  });

  test('a model that cannot fit is refused before its download, and persistence is asked for', async () => {
    const persist = vi.fn(async () => true);
    const storage = {
      getDirectory: async () => disk.root,
      estimate: async () => ({ quota: 5000, usage: 4500 }),
      ...{ persist, persisted: async () => false },
    };
    vi.stubGlobal('navigator', { storage });
    const { name, pieceBytes } = options;
    const { store, read } = source();
    await expect(keepModel(store, { name, pieceBytes })).rejects.toMatchObject({
      code: 'disk-full',
      message: expect.stringContaining(`needs ${TOTAL} bytes more`),
    });
    expect(read.bytes).toBe(PLANNED);
    expect(persist).not.toHaveBeenCalled();
    storage.estimate = async () => ({ quota: 50_000, usage: 0 });
    expect((await keepModel(store, { name, pieceBytes, persist: true })).persisted).toBe(true);
    expect(await keptModels()).toMatchObject([{ name, complete: true }]);
    expect(await removeKept(name)).toBeGreaterThan(TOTAL);
  });

  test('where there is no storage, that is said', async () => {
    vi.stubGlobal('navigator', { storage: {} });
    for (const ask of [keptModels(), openKept('tiny'), removeKept('tiny')]) {
      await expect(ask).rejects.toMatchObject({ code: 'no-storage' });
    }
  });
});

test('abort rejects with its reason at once, and what came stays', async () => {
  const reason = new Error('stop');
  const controller = new AbortController();
  const { signal } = controller;
  const onProgress: KeepModelOptions['onProgress'] = ({ loaded }) => {
    if (loaded > 600) controller.abort(reason);
  };
  await expect(keepModel(source().store, { ...options, signal, onProgress })).rejects.toBe(reason);
  const { store, read } = source();
  await keepModel(store, options);
  expect(read.bytes).toBeLessThan(PLANNED + TOTAL - 600);
  await expectKept();
  await expect(keepModel(store, { ...options, signal })).rejects.toBe(reason);
});

describe('names and records are not trusted', () => {
  test.each(['..', 'a/b', '', 'a%2fb', 'a:b'])('%j is no name of a model', async (name) => {
    const refused = { code: 'bad-path' };
    await expect(keepModel(source().store, { ...options, name })).rejects.toMatchObject(refused);
    await expect(openKept(name, options)).rejects.toMatchObject(refused);
    await expect(removeKept(name, options)).rejects.toMatchObject(refused);
    expect(disk.files().size).toBe(0);
  });

  test('of an edited record nothing is opened but what it names and is there', async () => {
    await keepModel(source().store, options);
    const record = disk.files().get('tiny/record.json')!;
    const whole = record.bytes;
    const document = JSON.parse(new TextDecoder().decode(whole));
    await fuzzJson(
      document,
      async (text) => {
        record.bytes = new TextEncoder().encode(text);
        await keptModels(options);
        const { files } = await openKept('tiny', options);
        for (const { name, size } of files) expect(size, name).toBeLessThanOrEqual(TOTAL);
      },
      { runs: 300 },
    );
    record.bytes = whole.subarray(0, whole.length / 2);
    expect(await keptModels(options)).toMatchObject([{ complete: false }]);
    const { store, read } = source();
    await keepModel(store, options);
    expect(read.bytes, 'pieces tell what they are').toBe(PLANNED);
    await expectKept();
  });
});

test('files that are asked for must be there; licence and rank file come where they are', async () => {
  const config = JSON.parse(CONFIG);
  const mha2mla = { partial_rope_version: 'mkl', qk_tensor_path: 'mkl/ranks.pth' };
  const files = {
    ...FILES,
    'config.json': JSON.stringify({ ...config, mha2mla }),
    ...{ 'ranks.pth': 'ranks', LICENSE: 'free', 'extra.bin': 'more' },
  };
  await keepModel(source(files).store, { ...options, files: ['extra.bin'] });
  await expectKept(files);
  await expect(
    keepModel(source(files).store, { ...options, files: ['none.bin'] }),
  ).rejects.toMatchObject({ code: 'missing-file', message: expect.stringContaining('none.bin') });
  await expect(
    keepModel(source(files).store, { ...options, files: ['../none.bin'] }),
  ).rejects.toMatchObject({ code: 'bad-path' });
});
