import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readModelConfig } from '../model-config';
import { openCheckpoint } from '../open-checkpoint';
import { openSafetensors } from '../open-safetensors';
import { fileSource } from './file-source';
import { nodeStore } from './node-store';
import { resolveInside } from './resolve-inside';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoint-'));
});
afterAll(() => rm(root, { recursive: true }));

/** A folder below the root with these files. */
async function folderOf(path: string, files: Record<string, string> = {}): Promise<string> {
  const folder = join(root, path);
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

describe('nodeStore', () => {
  it.each(['models/llava', 'fixtures/hf/llava/checkpoint'])('%s opens whole', async (path) => {
    const store = await nodeStore(fixture(path));
    const { tensors, readFloat32 } = await openCheckpoint(store);
    const { text } = await readModelConfig(store);
    const name = 'language_model.model.embed_tokens.weight';
    expect(tensors.get(name)?.shape).toEqual([text.vocabSize, text.hiddenSize]);
    const rows = await readFloat32(name, { rows: [3, 5] });
    const whole = await readFloat32(name);
    expect(rows).toEqual(whole.slice(3 * text.hiddenSize, 5 * text.hiddenSize));
    await store.close?.();
  });

  it('absent files are undefined, absent folders and files for folders are errors', async () => {
    const folder = await folderOf('plain', { a: 'x' });
    const store = await nodeStore(folder);
    expect(await store.open('none')).toBeUndefined();
    expect(await store.open('a')).toBe(await store.open('a')); // one handle a file
    await store.close?.();
    await expect(nodeStore(join(folder, 'none'))).rejects.toMatchObject({ code: 'missing-file' });
    await expect(nodeStore(join(folder, 'a'))).rejects.toMatchObject({ code: 'io' });
  });

  it('a link out of the folder is refused, a link inside of it is fine', async () => {
    const folder = await folderOf('linked', { inside: 'x' });
    await writeFile(join(root, 'secret'), 'x');
    await symlink('../secret', join(folder, 'out.safetensors'));
    await symlink('inside', join(folder, 'in.safetensors'));
    await symlink('loop', join(folder, 'loop'));
    const store = await nodeStore(folder);
    await expect(store.open('out.safetensors')).rejects.toMatchObject({ code: 'bad-path' });
    expect((await store.open('in.safetensors'))?.size).toBe(1);
    await expect(store.open('loop')).rejects.toMatchObject({ code: 'io' });
    for (const name of ['../secret', '/etc/passwd', 'a\\b', 'file:x', 'a\0b', '..']) {
      await expect(store.open(name)).rejects.toMatchObject({ code: 'bad-path' });
    }
    await store.close?.();
  });

  it("links of Hugging Face's cache are followed within the same repository only", async () => {
    await folderOf('hub/models--a--b/blobs', { hash: 'own' });
    await folderOf('hub/models--c--d/blobs', { hash: 'foreign' });
    const snapshot = await folderOf('hub/models--a--b/snapshots/0123');
    await symlink('../../blobs/hash', join(snapshot, 'own'));
    await symlink('../../../models--c--d/blobs/hash', join(snapshot, 'foreign'));
    await symlink('../../../../secret', join(snapshot, 'secret'));
    const store = await nodeStore(snapshot);
    expect((await store.open('own'))?.size).toBe(3);
    await expect(store.open('foreign')).rejects.toMatchObject({ code: 'bad-path' });
    await store.close?.();
    // The same shape without a repository's name is no cache.
    await folderOf('plain-repo/blobs', { hash: 'x' });
    const other = await folderOf('plain-repo/snapshots/0123');
    await symlink('../../blobs/hash', join(other, 'x'));
    const plain = await nodeStore(other);
    await expect(plain.open('x')).rejects.toMatchObject({ code: 'bad-path' });
  });
});

describe('fileSource', () => {
  it('a file that became shorter gives an error, never old memory', async () => {
    const folder = await folderOf('short', { f: 'x'.repeat(100) });
    const source = await fileSource(join(folder, 'f'));
    await truncate(join(folder, 'f'), 50);
    await expect(source.read(0, 100)).rejects.toMatchObject({ code: 'short-read' });
    await expect(source.read(0, 101)).rejects.toMatchObject({ code: 'bad-range' });
    await expect(source.read(-1, 1)).rejects.toMatchObject({ code: 'bad-range' });
    await expect(source.read(3, 2)).rejects.toMatchObject({ code: 'bad-range' });
    const reason = new Error('enough');
    await expect(source.read(0, 10, AbortSignal.abort(reason))).rejects.toBe(reason);
    await source.close();
  });

  it('folders and absent files are refused', async () => {
    await expect(fileSource(root)).rejects.toMatchObject({ code: 'io' });
    await expect(fileSource(join(root, 'none'))).rejects.toMatchObject({ code: 'missing-file' });
  });

  it('goldens open as stand-alone files', async () => {
    const source = await fileSource(fixture('fixtures/hf/llava/goldens/p0.safetensors'));
    const golden = await openSafetensors(source);
    const ids = await golden.readInt32('input_ids');
    expect(ids.length).toBe(golden.tensors.get('input_ids')!.shape[1]);
    await source.close();
  });
});

describe('resolveInside', () => {
  it('pictures below the folder are found, all that leads out of it is refused', async () => {
    const folder = await folderOf('data');
    const image = join(await folderOf('data/images', { 'a.png': 'x' }), 'a.png');
    await symlink('../../secret', join(folder, 'images', 'link.png'));
    await symlink('..', join(folder, 'up'));
    expect(await resolveInside(folder, 'images/a.png')).toMatch(/images\/a\.png$/);
    expect(await resolveInside(folder, './images/../images/a.png')).toMatch(/images\/a\.png$/);
    const refused = { code: 'bad-path' };
    for (const path of [
      '../secret',
      'images/../../secret',
      '/etc/passwd',
      image,
      'images/link.png',
      'up/secret',
      'http://example.com/a.png',
      'https:a',
      'file:///etc/passwd',
      'data:image/png;base64,',
      'C:\\a',
      'a\\b',
      'a\0',
      '',
    ]) {
      await expect(resolveInside(folder, path), path).rejects.toMatchObject(refused);
    }
    await expect(resolveInside(folder, 'images/none.png')).rejects.toMatchObject({
      code: 'missing-file',
    });
  });
});
