import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ByteSource } from '@mha2mla/checkpoint';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type LocalCopies, type LocalCopiesOptions, localCopies } from './local-copies';

let folder: string;
let fetched: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mha2mla-copies-'));
  fetched = [];
});
afterEach(() => rm(folder, { recursive: true }));

/** The content of a key is the key. */
function open(copies: LocalCopies, key: string): Promise<ByteSource> {
  return copies.open(key, { sha256: key, sizeBytes: key.length }, async (path) => {
    fetched.push(key);
    await writeFile(path, key);
  });
}
const make = (options?: LocalCopiesOptions) => localCopies(folder, options);
const text = async (file: ByteSource) => new TextDecoder().decode(await file.read(0, file.size));
const there = async () => {
  const names = await readdir(folder);
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.sort();
};

test('a content is fetched once for all who read it at once', async () => {
  const copies = make();
  const files = await Promise.all([open(copies, 'a'), open(copies, 'a'), open(copies, 'a')]);
  expect(await Promise.all(files.map(text))).toEqual(['a', 'a', 'a']);
  expect(fetched).toEqual(['a']);
});

test('those that nobody has read for long make room, and are fetched again when they are read', async () => {
  const copies = make({ most: 2, idleMs: 0 });
  const a = await open(copies, 'a');
  await open(copies, 'b');
  expect(await text(a)).toBe('a'); // now b is the oldest
  await open(copies, 'c');
  await expect.poll(there).toEqual(['a', 'c']);
  await open(copies, 'd');
  await expect.poll(there).toEqual(['c', 'd']);
  expect(await text(a)).toBe('a');
  expect(fetched).toEqual(['a', 'b', 'c', 'd', 'a']);
});

test('those that are being read stay, however many', async () => {
  const copies = make({ most: 1 });
  const files = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((key) => open(copies, key)));
  for (let i = 0; i < 3; i++) {
    expect(await Promise.all(files.map(text))).toEqual(['a', 'b', 'c', 'd', 'e']);
  }
  expect(fetched).toHaveLength(5);
});

test('one that could not be fetched is tried anew', async () => {
  const copies = make();
  const failing = copies.open('a', { sha256: 'a', sizeBytes: 1 }, async () => {
    throw new Error('gone');
  });
  await expect(failing).rejects.toThrow('gone');
  expect(await text(await open(copies, 'a'))).toBe('a');
});

test('a file that was adopted is not fetched, and a second one is not kept', async () => {
  const copies = make();
  for (const content of ['a', 'A']) {
    const path = copies.path();
    await writeFile(path, content);
    await copies.adopt('a', path);
  }
  expect(await there()).toEqual(['a']);
  expect(await text(await open(copies, 'a'))).toBe('a');
  expect(fetched).toEqual([]);
});

test('those that begin so are forgotten, and no others', async () => {
  const copies = make();
  for (const key of ['a/1', 'a/2', 'b/1']) await open(copies, key);
  await copies.forget('a/');
  expect(await there()).toEqual(['b/1']);
});
