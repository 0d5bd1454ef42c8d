import { describe, expect, it } from 'vitest';
import { assertTensorShape } from './assert-tensor-shape';
import { blobSource, blobStore } from './blob-store';
import { concatBytes } from './concat-bytes';
import { memorySource, memoryStore } from './memory-store';
import { openCheckpoint } from './open-checkpoint';
import { openSafetensors } from './open-safetensors';
import { readJson } from './read-json';
import { readText } from './read-text';
import { writeSafetensors } from './write-safetensors';

const INDEX = 'model.safetensors.index.json';

/** A safetensors file of one-element tensors: name to value. */
async function shard(values: Record<string, number>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    { write: async (bytes) => void pieces.push(bytes.slice()) },
    Object.keys(values).map((name) => ({ name, dtype: 'F32', shape: [1] })),
    ({ name }) => Float32Array.of(values[name]!),
  );
  return concatBytes(pieces);
}

const ONE = 'model-00001-of-00002.safetensors';
const TWO = 'model-00002-of-00002.safetensors';
async function folder(weightMap: unknown, files: Record<string, Uint8Array | string> = {}) {
  return memoryStore({
    [ONE]: await shard({ a: 1, b: 2 }),
    [TWO]: await shard({ c: 3 }),
    [INDEX]: JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap }),
    ...files,
  });
}
const MAP = { a: ONE, b: ONE, c: TWO };

describe('openCheckpoint', () => {
  it('shards read as one checkpoint', async () => {
    const checkpoint = await openCheckpoint(await folder(MAP));
    expect([...checkpoint.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
    expect([...(await checkpoint.readFloat32('c'))]).toEqual([3]);
    expect(checkpoint.tensors.get('c')?.file).toBe(TWO);
    await expect(checkpoint.readBytes('d')).rejects.toMatchObject({ code: 'missing-tensor' });
    await expect(checkpoint.readBytes('toString')).rejects.toMatchObject({
      code: 'missing-tensor',
    });
  });

  it('a single file comes first, as in transformers', async () => {
    const store = await folder(MAP, { 'model.safetensors': await shard({ z: 9 }) });
    expect([...(await openCheckpoint(store)).tensors.keys()]).toEqual(['z']);
  });

  it('a missing shard is named, and so is a folder without weights', async () => {
    const missing = {
      code: 'missing-file',
      message: expect.stringContaining('model-3.safetensors'),
    };
    const store = await folder({ ...MAP, d: 'model-3.safetensors' });
    await expect(openCheckpoint(store)).rejects.toMatchObject(missing);
    await expect(openCheckpoint(memoryStore({}))).rejects.toMatchObject({ code: 'missing-file' });
  });

  it.each([
    ['a tensor that no shard has', { ...MAP, d: TWO }],
    ['a tensor in another shard', { a: ONE, b: TWO, c: TWO }],
    ['a tensor that the index leaves out', { a: ONE, c: TWO }],
  ])('%s is refused', async (_, map) => {
    await expect(openCheckpoint(await folder(map))).rejects.toMatchObject({
      code: 'index-mismatch',
    });
  });

  it('a tensor in two shards is refused', async () => {
    const store = await folder(MAP, { [TWO]: await shard({ a: 5, c: 3 }) });
    await expect(openCheckpoint(store)).rejects.toMatchObject({ code: 'index-mismatch' });
  });

  it.each([
    '../x.safetensors',
    '/x.safetensors',
    'a/b.safetensors',
    'a\\b.safetensors',
    'C:x.safetensors',
    'https://example.com/x.safetensors',
    '//example.com/x.safetensors',
    'x.safetensors\0',
    'x.bin',
    '..',
    '',
    '%2e%2e.safetensors',
    'x.safetensors?y',
    '.safetensors ',
    7,
    null,
    ['x.safetensors'],
  ])('the shard name %j is refused', async (name) => {
    const store = await folder({ ...MAP, d: name });
    await expect(openCheckpoint(store)).rejects.toMatchObject({ code: 'bad-path' });
  });

  it('an index without a map, or with too many shards, is refused', async () => {
    for (const map of [undefined, [], 'x', null]) {
      await expect(openCheckpoint(await folder(map))).rejects.toMatchObject({ code: 'bad-index' });
    }
    const many = Object.fromEntries(
      Array.from({ length: 10_001 }, (_, i) => [`t${i}`, `${i}.safetensors`]),
    );
    await expect(openCheckpoint(await folder(many))).rejects.toMatchObject({ code: 'bad-index' });
    const twice = `{"weight_map":{"a":"${ONE}","a":"${TWO}"}}`;
    const store = await folder(MAP, { [INDEX]: twice });
    await expect(openCheckpoint(store)).rejects.toMatchObject({ code: 'duplicate-key' });
  });
});

describe('assertTensorShape', () => {
  it('a weight that is absent, of another shape, or empty is refused', async () => {
    const checkpoint = await openCheckpoint(await folder(MAP));
    expect(assertTensorShape(checkpoint, 'a', [1]).file).toBe(ONE);
    const refused = (name: string, shape: number[], code: string) =>
      expect(() => assertTensorShape(checkpoint, name, shape)).toThrowError(
        expect.objectContaining({ code }),
      );
    refused('d', [1], 'missing-tensor');
    refused('a', [], 'wrong-shape');
    refused('a', [1, 1], 'wrong-shape');
    refused('a', [2], 'wrong-shape');
    const info = { name: 'e', dtype: 'F32' as const, shape: [0], file: 'x', start: 0, end: 0 };
    const empty = () => assertTensorShape({ tensors: new Map([['e', info]]) }, 'e', [0]);
    expect(empty).toThrowError(expect.objectContaining({ code: 'wrong-shape' }));
  });
});

describe('blobs', () => {
  it('a checkpoint opens from files by slices', async () => {
    const bytes = await shard({ a: 1 });
    const store = blobStore([new File([bytes as BlobPart], 'model.safetensors')]);
    expect([...(await (await openCheckpoint(store)).readFloat32('a'))]).toEqual([1]);
    expect(await store.open('none')).toBeUndefined();
    const single = await openSafetensors(blobSource(new Blob([bytes as BlobPart]), 'x'));
    expect(single.tensors.size).toBe(1);
  });

  it('two files of one name and ranges outside are refused', async () => {
    const file = new File(['x'], 'a');
    expect(() => blobStore([file, file])).toThrowError(
      expect.objectContaining({ code: 'bad-path' }),
    );
    await expect(blobSource(file, 'a').read(0, 2)).rejects.toMatchObject({ code: 'bad-range' });
  });

  it('a blob that gives fewer bytes than it has is an error', async () => {
    const short = { size: 10, slice: () => new Blob(['x']) } as unknown as Blob;
    await expect(blobSource(short, 'a').read(0, 2)).rejects.toMatchObject({ code: 'short-read' });
  });
});

describe('readText and readJson', () => {
  it('size, encoding, equal keys and depth are checked', async () => {
    const store = memoryStore({
      long: 'x'.repeat(11),
      latin: Uint8Array.of(0xe9),
      bom: '\ufeff{}',
      twice: '{"a":[{"b":1,"\\u0062":2}]}',
      deep: `${'['.repeat(65)}${']'.repeat(65)}`,
      fine: `${'['.repeat(64)}${']'.repeat(64)}`,
      cut: '{"a": "',
      strings: '{"a":"{[\\":,\\\\","b":":"}',
      proto: '{"__proto__":{"polluted":1}}',
    });
    await expect(readText(store, 'long', { maxBytes: 10 })).rejects.toMatchObject({
      code: 'too-large',
    });
    await expect(readText(store, 'latin')).rejects.toMatchObject({ code: 'not-utf8' });
    await expect(readText(store, 'none')).rejects.toMatchObject({ code: 'missing-file' });
    await expect(readJson(store, 'bom')).rejects.toMatchObject({ code: 'not-json' });
    await expect(readJson(store, 'twice')).rejects.toMatchObject({ code: 'duplicate-key' });
    await expect(readJson(store, 'deep')).rejects.toMatchObject({ code: 'too-deep' });
    await expect(readJson(store, 'cut')).rejects.toMatchObject({ code: 'not-json' });
    expect(await readJson(store, 'fine')).toBeDefined();
    expect(await readJson(store, 'strings')).toEqual({ a: '{[":,\\', b: ':' });
    await readJson(store, 'proto');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('bytes that a source copies out cannot change it', async () => {
    const source = memorySource(Uint8Array.of(1, 2));
    (await source.read(0, 2))[0] = 9;
    expect([...(await source.read(0, 2))]).toEqual([1, 2]);
  });
});

it('what is read from memory is a copy, of a Buffer too', async () => {
  const bytes = (globalThis.Buffer ?? Uint8Array).from([1, 2, 3, 4]);
  const read = await memorySource(bytes, 'four').read(1, 3);
  bytes.fill(9);
  expect([...read]).toEqual([2, 3]);
});
