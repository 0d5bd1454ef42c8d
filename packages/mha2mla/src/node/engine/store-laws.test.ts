/** What holds for the place of a run's contents, be it a folder or a bucket. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { type ByteSource, memorySource } from '@mha2mla/checkpoint';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ContentRef, SharedStore } from '../../jobs/job-store';
import { openStore } from './open-store';
import { type S3Server, s3Missing, startS3 } from './testing/start-s3';

const [RUN, OTHER] = ['a'.repeat(64), 'b'.repeat(64)];
const KEY = 'c'.repeat(64);

/** A store, and what lies in it by paths below it. */
interface Place {
  /** As another machine has it. */
  open(): Promise<SharedStore>;
  list(): Promise<string[]>;
  read(path: string): Promise<Uint8Array>;
  write(path: string, bytes: Uint8Array): Promise<void>;
}

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'mha2mla-store-'));
});
afterEach(() => rm(scratch, { recursive: true }));

describe('a folder', () => laws(async () => folderPlace()));

const missing = s3Missing();
describe.skipIf(missing)(`a bucket${missing ? ` [${missing}]` : ''}`, () => {
  let server: S3Server | undefined;
  let count = 0;
  beforeAll(async () => {
    server = await startS3();
    for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server?.stop();
  });
  laws(() => bucketPlace(`bucket-${count++}`));
});

function laws(make: () => Promise<Place>): void {
  let place: Place;
  let store: SharedStore;
  beforeEach(async () => {
    place = await make();
    store = await place.open();
  });

  const put = (bytes: Uint8Array, run = RUN) =>
    store.ofRun(run).put(async (sink) => {
      await sink.write(bytes.subarray(0, 3));
      await sink.write(bytes.subarray(3));
    });

  test('bytes come back, from any machine, by ranges', async () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    const property = fc.asyncProperty(bytes, fc.nat(), fc.nat(), async (written, a, b) => {
      const ref = await put(written);
      expect(ref.sizeBytes).toBe(written.length);
      for (const from of [store, await place.open()]) {
        const file = await from.ofRun(RUN).open(ref);
        expect([file.name, file.size]).toEqual([ref.sha256, written.length]);
        expect(await bytesOf(file)).toEqual(written);
        const [start, end] = [a, b].map((x) => x % (written.length + 1)).sort((x, y) => x - y);
        expect(await file.read(start!, end!)).toEqual(written.subarray(start, end));
      }
    });
    await fc.assert(property, { seed: 1, numRuns: 10 });
  });

  test('the same bytes twice, at once and later, are one content', async () => {
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const refs = [...(await Promise.all([put(bytes), put(bytes)])), await put(bytes)];
    expect(refs).toEqual([refs[0], refs[0], refs[0]]);
    expect(await place.list()).toEqual([`runs/${RUN}/contents/${refs[0]!.sha256}`]);
  });

  test('who fails to write leaves nothing', async () => {
    const failing = store.ofRun(RUN).put(async (sink) => {
      await sink.write(Uint8Array.of(1));
      throw new Error('stopped');
    });
    await expect(failing).rejects.toThrow('stopped');
    expect(await place.list()).toEqual([]);
  });

  test('what is not there, was removed, or is of another run is missing', async () => {
    const ref = await put(Uint8Array.of(1, 2, 3));
    const code = 'missing-content';
    await expect(store.ofRun(OTHER).open(ref)).rejects.toMatchObject({ code });
    await store.ofRun(RUN).remove(ref);
    await store.ofRun(RUN).remove(ref);
    await expect(store.ofRun(RUN).open(ref)).rejects.toMatchObject({ code });
    expect(await put(Uint8Array.of(1, 2, 3))).toEqual(ref);
    expect(await bytesOf(await store.ofRun(RUN).open(ref))).toEqual(Uint8Array.of(1, 2, 3));
  });

  test.for<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['cut short', (bytes) => bytes.subarray(0, 5)],
    ['longer', (bytes) => Uint8Array.of(...bytes, 0)],
    ['empty', () => new Uint8Array()],
    ['changed', (bytes) => bytes.map((byte, i) => byte ^ Number(i === 4))],
  ])('bytes that are %s are refused, until they are written again', async ([, damage]) => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
    const ref = await put(bytes);
    const [path] = await place.list();
    await place.write(path!, damage(await place.read(path!)));
    const other = (await place.open()).ofRun(RUN);
    const code = 'damaged-content';
    await expect(other.open(ref)).rejects.toMatchObject({ code });
    await put(bytes);
    expect(await bytesOf(await other.open(ref))).toEqual(bytes);
  });

  test('a record comes back as it was written last, and only to its run', async () => {
    const [run, other] = [store.ofRun(RUN), store.ofRun(OTHER)];
    expect(await run.readRecord(KEY)).toBeUndefined();
    for (const text of ['', '{"a":"é😀"}', 'x'.repeat(2 ** 16)]) {
      await run.writeRecord(KEY, text);
      expect(await (await place.open()).ofRun(RUN).readRecord(KEY)).toBe(text);
    }
    expect(await other.readRecord(KEY)).toBeUndefined();
  });

  test('a record that is longer than any is read as none of ours', async () => {
    await place.write(`runs/${RUN}/records/${KEY}.json`, new Uint8Array(2 ** 16 + 1));
    expect(await store.ofRun(RUN).readRecord(KEY)).toBe('');
  });

  test('a run is removed whole, and others stay', async () => {
    const ref = await put(Uint8Array.of(1));
    await store.ofRun(RUN).writeRecord(KEY, '{}');
    const kept = await put(Uint8Array.of(1), OTHER);
    await store.removeRun(RUN);
    await store.removeRun(RUN);
    expect(await place.list()).toEqual([`runs/${OTHER}/contents/${kept.sha256}`]);
    const code = 'missing-content';
    await expect(store.ofRun(RUN).open(ref)).rejects.toMatchObject({ code });
  });

  test('names that could lead elsewhere are refused, and nothing is touched', async () => {
    await put(Uint8Array.of(1), OTHER);
    const before = await place.list();
    const names = fc.oneof(
      fc.constantFrom('', '.', '..', `../${OTHER}`, 'A'.repeat(64), `${RUN}\n`, `${RUN}/..`),
      fc.constantFrom('%2e%2e%2f', 'a\\b', '__proto__', `${RUN}/`, 'a'.repeat(63), RUN + RUN),
      fc.string(),
    );
    const code = 'bad-job';
    const property = fc.asyncProperty(names, async (name) => {
      const run = store.ofRun(RUN);
      const ref: ContentRef = { sha256: name, sizeBytes: 1 };
      for (const attempt of [
        () => store.ofRun(name),
        () => store.removeRun(name),
        () => run.open(ref),
        () => run.remove(ref),
        () => run.readRecord(name),
        () => run.writeRecord(name, '{}'),
      ]) {
        await expect((async () => attempt())()).rejects.toMatchObject({ code });
      }
    });
    await fc.assert(property, { seed: 1, numRuns: 50 });
    expect(await place.list()).toEqual(before);
  });

  test('a model comes back by ranges, and is copied only once', async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    let reads = 0;
    const { name, size, read } = memorySource(bytes, 'model.safetensors');
    const counted: ByteSource = {
      ...{ name, size },
      read: (start, end) => {
        reads++;
        return read(start, end);
      },
    };
    await store.putModelFile('models/one', counted);
    await store.putModelFile('models/one', counted);
    await store.putModelFile('models/one', memorySource(new Uint8Array(), 'empty.txt'));
    expect(reads).toBe(1);
    const model = await (await place.open()).openModel('models/one');
    const file = (await model.open('model.safetensors'))!;
    expect(file.size).toBe(1000);
    expect(await file.read(7, 7)).toEqual(new Uint8Array());
    expect(await file.read(13, 600)).toEqual(bytes.subarray(13, 600));
    expect((await model.open('empty.txt'))!.size).toBe(0);
    expect(await model.open('other.json')).toBeUndefined();
    for (const [start, end] of [
      [-1, 4],
      [5, 4],
      [0, 1001],
      [0.5, 4],
      [0, Number.NaN],
    ] as const) {
      await expect(file.read(start, end)).rejects.toMatchObject({ code: 'bad-range' });
    }
    await model.close?.();
  });

  test('a model that was cut short is copied again', async () => {
    await place.write('models/one/a.bin', Uint8Array.of(1, 2));
    await store.putModelFile('models/one', memorySource(Uint8Array.of(1, 2, 3), 'a.bin'));
    expect(await place.read('models/one/a.bin')).toEqual(Uint8Array.of(1, 2, 3));
  });

  test.for([
    '..',
    '../x',
    '/etc',
    'a/../../b',
    'a//b',
    '',
    '.',
    'a\\b',
    'C:\\a',
    's3://a/b',
    'a\0',
  ])('a model outside is refused, and none is put there: %j', async (folder) => {
    const file = memorySource(Uint8Array.of(1), 'a.bin');
    const code = 'bad-job';
    await expect(store.putModelFile(folder, file)).rejects.toMatchObject({ code });
    const opened = (async () => (await store.openModel(folder)).open('a.bin'))();
    if (!['', '.', 'a//b'].includes(folder)) await expect(opened).rejects.toThrow(/store|resolve/);
    else await opened.catch(() => {}); // a folder's own, or none
    expect(await place.list()).toEqual([]);
  });

  test.for(['../a', 'a/b', '..', 'a%2fb', 'a\\b', ''])('nor a file %j of a model', async (name) => {
    const file = memorySource(Uint8Array.of(1), name);
    const code = 'bad-path';
    await expect(store.putModelFile('m', file)).rejects.toMatchObject({ code });
    await place.write('m/there.bin', Uint8Array.of(1));
    const model = await store.openModel('m');
    await expect(model.open(name)).rejects.toMatchObject({ code });
  });
}

const bytesOf = (file: ByteSource) => file.read(0, file.size);

function folderPlace(): Place {
  const root = join(scratch, 'store');
  return {
    open: () => openStore({ place: root, scratch }),
    async list() {
      const found = await readdir(root, { recursive: true, withFileTypes: true });
      const files = found.filter((entry) => entry.isFile());
      return files
        .map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1))
        .sort();
    },
    read: async (path) => Uint8Array.from(await readFile(join(root, path))),
    async write(path, bytes) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), bytes);
    },
  };
}

async function bucketPlace(name: string): Promise<Place> {
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  const at = (path: string) => ({ Bucket: name, Key: `some/prefix/${path}` });
  let machines = 0;
  return {
    async open() {
      const local = join(scratch, `machine-${machines++}`);
      await mkdir(local);
      return openStore({ place: `s3://${name}/some/prefix`, scratch: local });
    },
    async list() {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: name }));
      const start = at('').Key;
      for (const { Key } of Contents) expect(Key!.startsWith(start)).toBe(true);
      return Contents.map(({ Key }) => Key!.slice(start.length)).sort();
    },
    async read(path) {
      const { Body } = await client.send(new GetObjectCommand(at(path)));
      return Uint8Array.from(await Body!.transformToByteArray());
    },
    async write(path, bytes) {
      await client.send(new PutObjectCommand({ ...at(path), Body: bytes }));
    },
  };
}
