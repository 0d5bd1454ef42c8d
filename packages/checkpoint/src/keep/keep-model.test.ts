/** Laws of kept models, over a disk in memory whose tab can be gone at any change. */
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
function source(files: Files = FILES, version: string | undefined = 'v1') {
  const store = memoryStore(files);
  const read = { bytes: 0 };
  const open: FileStore['open'] = async (path) => {
    const file = await store.open(path);
    return (
      file && {
        ...file,
        version,
        async read(...range) {
          const bytes = await file.read(...range);
          read.bytes += bytes.length;
          return bytes;
        },
      }
    );
  };
  return { store: { name: 'https://models.example/tiny/', open }, read };
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
