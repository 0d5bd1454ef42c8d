import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { atomicWriteFile, TEMPORARY_NAME } from './atomic-write-file';
import { FileSink } from './file-sink';
import { freeBytes } from './free-bytes';

// Pieces of 2 MB, written in slices so that a kill can fall between them.
const PIECES = ['a', 'b', 'c', 'd'];
const PIECE_BYTES = 2_000_000;
const CHILD = `
import { atomicWriteFile, createOutputFolder } from './packages/checkpoint/src/node';
const [mode, target] = process.argv.slice(2);
const content = (name) => async (sink) => {
  for (let i = 0; i < 20; i++) {
    await sink.write(new Uint8Array(${PIECE_BYTES / 20}).fill(name.charCodeAt(0) + i));
    await new Promise((next) => setTimeout(next, 1));
  }
};
try {
  if (mode === 'file') await atomicWriteFile(target, new Uint8Array(${PIECE_BYTES}).fill(7));
  else {
    const folder = await createOutputFolder(target, { resume: true, fingerprint: {} });
    console.log('ready');
    for (const name of ${JSON.stringify(PIECES)}) {
      if (!(await folder.hasFile(name))) await folder.writeFile(name, content(name));
    }
    await folder.finish();
  }
} catch (error) {
  console.log(error.code, error.message);
  process.exitCode = 1;
}`;

let root: string;
let script: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoint-'));
  script = join(root, 'child.mjs');
  await build({
    stdin: { contents: CHILD, resolveDir: fixture('') },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: script,
  });
});
afterAll(() => rm(root, { recursive: true }));

/** Waits for the end of a child and gives what it printed. */
async function ended(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (data) => {
    text += data;
  });
  await new Promise((resolve) => child.on('close', resolve));
  return text;
}

const run = (...args: string[]) => spawn(process.execPath, [script, ...args]);

describe.skipIf(process.platform === 'win32')('a limit of file sizes (ulimit -f)', () => {
  it('leaves no file under the final name, an older one whole, and says disk-full', async () => {
    const target = join(root, 'limited');
    // 100 blocks are 50 or 100 kB, by shell; the file has 2 MB.
    const limited = () =>
      spawn('sh', [
        '-c',
        'ulimit -f 100; exec "$0" "$@"',
        process.execPath,
        script,
        'file',
        target,
      ]);
    expect(await ended(limited())).toMatch(
      /^disk-full .*bytes are missing.*Nothing that was finished is lost/,
    );
    expect(existsSync(target)).toBe(false);
    await writeFile(target, 'older');
    await ended(limited());
    expect(await readFile(target, 'utf8')).toBe('older');
    expect((await readdir(root)).filter((name) => TEMPORARY_NAME.test(name))).toEqual([]);
  });
});

describe('kill -9', () => {
  it('at any moment leaves whole pieces only, and resuming gives the bytes of a run in one go', async () => {
    const whole = join(root, 'whole');
    await ended(run('folder', whole));
    const expected = await hashes(whole);
    expect(expected.size).toBe(PIECES.length);
    const out = join(root, 'killed');
    let interrupted = 0;
    // Moments over the whole run, from the lock to the last piece.
    for (const delayMs of [0, 5, 12, 20, 30, 3, 45, 25]) {
      const child = run('folder', out);
      const end = ended(child);
      await Promise.race([new Promise((resolve) => child.stdout?.once('data', resolve)), end]);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      child.kill('SIGKILL');
      await end;
      if (existsSync(out)) break; // this one had come to its end
      interrupted++;
      const found = await hashes(`${out}.partial`);
      for (const [name, hash] of found) {
        if (!name.startsWith('.')) expect(hash, name).toBe(expected.get(name));
      }
    }
    expect(interrupted).toBeGreaterThan(0); // the first kill comes long before the 80 slices are out
    if (!existsSync(out)) expect(await ended(run('folder', out))).toBe('ready\n');
    expect(await hashes(out)).toEqual(expected);
  });
});

async function hashes(folder: string): Promise<Map<string, string>> {
  const result = new Map<string, string>();
  for (const name of (await readdir(folder)).sort()) {
    const bytes = await readFile(join(folder, name));
    result.set(name, createHash('sha256').update(bytes).digest('hex'));
  }
  return result;
}

describe('FileSink', () => {
  it('writes all bytes when the system takes a few at a time', async () => {
    const taken: number[] = [];
    const handle = {
      async write(bytes: Uint8Array, offset: number, length: number, position: number) {
        const count = Math.min(length, 7);
        for (let i = 0; i < count; i++) taken[position + i] = bytes[offset + i]!;
        return { bytesWritten: count };
      },
    } as unknown as FileHandle;
    const sink = new FileSink(handle, 'x');
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
    await sink.write(bytes.subarray(0, 33));
    await sink.write(bytes.subarray(33));
    expect(taken).toEqual([...bytes]);
    expect(sink.digest()).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('a system that takes no bytes at all is a full disk, not an endless loop', async () => {
    const handle = { write: async () => ({ bytesWritten: 0 }) } as unknown as FileHandle;
    const sink = new FileSink(handle, 'x');
    await expect(sink.write(new Uint8Array(3))).rejects.toMatchObject({ code: 'disk-full' });
  });

  it.skipIf(!existsSync('/dev/full'))('a full disk says how many bytes are missing', async () => {
    const handle = await open('/dev/full', 'r+');
    const sink = new FileSink(handle, '/dev/full', 5000);
    const refused = {
      code: 'disk-full',
      message: expect.stringMatching(/at least 5000 bytes are missing, \d+ bytes are free/),
    };
    await expect(sink.write(new Uint8Array(100))).rejects.toMatchObject(refused);
    await handle.close();
  });
});

describe('atomicWriteFile', () => {
  it('replaces a file, writes text, bytes and nothing, and gives size and hash', async () => {
    const target = join(root, 'note');
    await atomicWriteFile(target, 'é');
    const written = await atomicWriteFile(target, Uint8Array.of(1, 2));
    expect([...(await readFile(target))]).toEqual([1, 2]);
    const sha256 = createHash('sha256').update(Uint8Array.of(1, 2)).digest('hex');
    expect(written).toEqual({ sizeBytes: 2, sha256 });
    expect(await atomicWriteFile(target, async () => {})).toMatchObject({ sizeBytes: 0 });
    expect((await readFile(target)).length).toBe(0);
  });

  it('a folder in the way is an error and stays', async () => {
    await expect(atomicWriteFile(root, 'x')).rejects.toThrow();
    expect(await readdir(join(root, '..'))).not.toContainEqual(
      expect.stringMatching(/checkpoint-.*\.tmp-/),
    );
  });

  it('free space is known for a path that is yet to be', async () => {
    expect(await freeBytes(join(root, 'not', 'yet'))).toBeGreaterThan(0);
  });
});
