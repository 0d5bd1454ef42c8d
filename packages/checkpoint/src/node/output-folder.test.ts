import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK_NAME } from './folder-lock';
import { createOutputFolder } from './output-folder';
import { assertWritableTarget } from './output-target';
import { RECORD_NAME } from './resume-record';

let root: string;
let out: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoint-'));
  out = join(root, 'OUT');
});
afterEach(() => rm(root, { recursive: true }));

const fingerprint = { rank: 64, ranks: 'abc', options: { a: 1, b: [2] } };
const start = (options: Partial<Parameters<typeof createOutputFolder>[1]> = {}) =>
  createOutputFolder(out, { fingerprint, ...options });

describe('createOutputFolder', () => {
  it('OUT appears only at finish, with the pieces and nothing else', async () => {
    const folder = await start();
    await folder.writeFile('a.safetensors', Uint8Array.of(1, 2, 3));
    await folder.writeFile('config.json', '{}');
    expect(await readdir(root)).toEqual(['OUT.partial']);
    await folder.finish();
    expect(await readdir(root)).toEqual(['OUT']);
    expect((await readdir(out)).sort()).toEqual(['a.safetensors', 'config.json']);
    await folder.close(); // does nothing after finish
  });

  it('an empty OUT is used, one with files is refused and untouched', async () => {
    await mkdir(out);
    const folder = await start();
    await folder.writeFile('config.json', '{}');
    await folder.finish();
    for (const resume of [false, true]) {
      await expect(start({ resume })).rejects.toMatchObject({ code: 'output-exists' });
    }
    expect(await readdir(out)).toEqual(['config.json']);
  });

  it('a file or a link in place of OUT or OUT.partial is refused', async () => {
    const refused = { code: 'output-exists' };
    await writeFile(out, 'x');
    await expect(assertWritableTarget(out)).rejects.toMatchObject(refused);
    await rm(out);
    await mkdir(join(root, 'elsewhere'));
    await symlink(join(root, 'elsewhere'), `${out}.partial`);
    await expect(start()).rejects.toMatchObject(refused);
  });

  it('an unfinished run needs resume, and a folder of others is refused', async () => {
    await (await start()).close();
    await expect(start()).rejects.toMatchObject({
      code: 'output-exists',
      message: expect.stringContaining('resume'),
    });
    await (await start({ resume: true })).close();
    await rm(join(`${out}.partial`, RECORD_NAME));
    await writeFile(join(`${out}.partial`, 'thesis.txt'), 'mine');
    await expect(start({ resume: true })).rejects.toMatchObject({ code: 'output-exists' });
  });

  it('resume with another option is refused and names it; the order of keys does not matter', async () => {
    await (await start()).close();
    const other = start({ resume: true, fingerprint: { ...fingerprint, rank: 32 } });
    await expect(other).rejects.toMatchObject({
      code: 'resume-mismatch',
      message: expect.stringMatching(/"rank" \(was "64", is "32"\)/),
    });
    const more = start({ resume: true, fingerprint: { ...fingerprint, groups: 2 } });
    await expect(more).rejects.toMatchObject({ message: expect.stringContaining('"groups"') });
    const reordered = { options: { b: [2], a: 1 }, ranks: 'abc', rank: 64 };
    await (await start({ resume: true, fingerprint: reordered })).close();
  });

  it('finished pieces are found again, a torn or lost one is not', async () => {
    const folder = await start();
    for (const name of ['a', 'b', 'c']) await folder.writeFile(name, name.repeat(1000));
    await folder.close();
    await writeFile(join(folder.path, 'b'), 'b'.repeat(999));
    await rm(join(folder.path, 'c'));
    const again = await start({ resume: true });
    expect(await Promise.all(['a', 'b', 'c', 'd'].map((name) => again.hasFile(name)))).toEqual([
      true,
      false,
      false,
      false,
    ]);
    await again.writeFile('b', 'whole');
    expect(await again.hasFile('b')).toBe(true);
    expect(again.pieces.sort()).toEqual(['a', 'b']);
    await again.close();
  });

  it('a failing piece leaves nothing behind, and the run goes on', async () => {
    const folder = await start();
    const failing = folder.writeFile('a', async (sink) => {
      await sink.write(new Uint8Array(10));
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect((await readdir(folder.path)).sort()).toEqual([LOCK_NAME, RECORD_NAME].sort());
    await folder.writeFile('a', 'yes');
    await folder.finish();
    expect(await readFile(join(out, 'a'), 'utf8')).toBe('yes');
  });

  it('many pieces at once are all recorded', async () => {
    const folder = await start();
    const names = Array.from({ length: 20 }, (_, i) => `p${i}`);
    await Promise.all(names.map((name) => folder.writeFile(name, name)));
    await folder.close();
    const again = await start({ resume: true });
    expect(await Promise.all(names.map((name) => again.hasFile(name)))).not.toContain(false);
    await again.close();
  });

  it('a file that a worker wrote is adopted; one that nobody knows is not published', async () => {
    const folder = await start();
    await writeFile(join(folder.path, 'shard'), 'worker');
    await expect(folder.finish()).rejects.toMatchObject({
      code: 'output-exists',
      message: expect.stringContaining('shard'),
    });
    await folder.adoptFile('shard');
    await folder.writeFile('state', 'for resuming only');
    await folder.removeFile('state');
    await expect(folder.adoptFile('none')).rejects.toMatchObject({ code: 'missing-file' });
    await folder.finish();
    expect(await readdir(out)).toEqual(['shard']);
  });

  it.each(['../x', 'a/b', '/etc/x', '', '.', '..', 'a\0', RECORD_NAME, LOCK_NAME, '.a.tmp-1-0-1'])(
    'the piece name %j is refused',
    async (name) => {
      const folder = await start();
      await expect(folder.writeFile(name, '')).rejects.toMatchObject({ code: 'bad-path' });
      await folder.close();
    },
  );

  it('a second owner is refused; the lock of a process that is gone is taken over', async () => {
    const folder = await start();
    await expect(start({ resume: true })).rejects.toMatchObject({ code: 'output-locked' });
    const path = join(folder.path, LOCK_NAME);
    const lock = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify({ ...lock, pid: 2 ** 22 + 1 })); // above Linux's largest pid
    await (await start({ resume: true })).close();
    // Our own number, but of a process that started at another time.
    await writeFile(path, JSON.stringify({ ...lock, started: '1' }));
    await (await start({ resume: true })).close();
    await writeFile(path, JSON.stringify({ ...lock, host: 'another machine' }));
    await expect(start({ resume: true })).rejects.toMatchObject({ code: 'output-locked' });
    await writeFile(path, '{'); // torn, and just now: its owner may be about to write it
    await expect(start({ resume: true })).rejects.toMatchObject({ code: 'output-locked' });
  });

  it('abandon removes the pieces and keeps what is not ours', async () => {
    const folder = await start();
    await folder.writeFile('a', 'a');
    await folder.abandon();
    expect(await readdir(root)).toEqual([]);
    const second = await start();
    await second.writeFile('a', 'a');
    await writeFile(join(second.path, 'thesis.txt'), 'mine');
    await second.abandon();
    expect(await readdir(second.path)).toEqual(['thesis.txt']);
    await expect(second.writeFile('b', '')).rejects.toMatchObject({ code: 'io' });
  });
});
