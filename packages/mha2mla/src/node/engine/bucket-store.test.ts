/** What only a bucket does: uploads in parts, listings by pages, and servers that refuse, lie or are gone. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  CreateBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { CheckpointError, memorySource } from '@mha2mla/checkpoint';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { JobError } from '../../jobs/job-error';
import type { SharedStore } from '../../jobs/job-store';
import { openBucketStore } from './bucket-store';
import { type MeddlingProxy, meddlingProxy } from './testing/meddling-proxy';
import { S3_SECRET, type S3Server, s3Missing, startS3 } from './testing/start-s3';

const [RUN, OTHER] = ['a'.repeat(64), 'b'.repeat(64)];
const missing = s3Missing();

describe.skipIf(missing)(`a bucket${missing ? ` [${missing}]` : ''}`, () => {
  let server: S3Server;
  let proxy: MeddlingProxy;
  let client: S3Client;
  let local: string;
  let store: SharedStore;
  let Bucket: string;
  let count = 0;

  beforeAll(async () => {
    server = await startS3();
    proxy = await meddlingProxy(server.env.AWS_ENDPOINT_URL_S3!);
    useServer();
    client = new S3Client({ forcePathStyle: true });
    await client.config.region(); // it reads its settings now, those of the server itself
    vi.stubEnv('AWS_ENDPOINT_URL_S3', proxy.url);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    proxy.close();
    await server.stop();
  });
  beforeEach(async () => {
    local = await mkdtemp(join(tmpdir(), 'mha2mla-bucket-'));
    Bucket = `bucket-${count++}`;
    await client.send(new CreateBucketCommand({ Bucket }));
    store = await open();
  });
  afterEach(async () => {
    proxy.meddle = undefined;
    await rm(local, { recursive: true });
  });

  const open = (place = `s3://${Bucket}/p`) => openBucketStore(place, local);
  function useServer() {
    for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
  }
  async function keys(): Promise<string[]> {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    return Contents.map(({ Key }) => Key!);
  }
  const put = (bytes: Uint8Array) => store.ofRun(RUN).put((sink) => sink.write(bytes));
  const big = () => Uint8Array.from({ length: 20 * 2 ** 20 + 3 }, (_, i) => i % 253);

  /** The error of a refused request, which must hold no secret, however closely it is looked at. */
  async function refusal(request: Promise<unknown>): Promise<JobError> {
    const error = await request.then(
      () => expect.unreachable(),
      (got) => got,
    );
    expect(error).toBeInstanceOf(JobError);
    expect(error.code).toBe('engine');
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(S3_SECRET);
    return error;
  }

  test('a large content goes in parts, and comes back by ranges', async () => {
    const bytes = big();
    const ref = await put(bytes);
    const [Key] = await keys();
    const { ETag } = await client.send(new HeadObjectCommand({ Bucket, Key }));
    expect(ETag).toMatch(/-3"$/); // three parts
    const file = await (await open()).ofRun(RUN).open(ref);
    const [start, end] = [9_000_001, 18_000_000];
    expect(Buffer.compare(await file.read(start, end), bytes.subarray(start, end))).toBe(0);
  });

  test('an upload that fails on its way leaves neither key nor parts, and says why', async () => {
    const bytes = big();
    const { size, read } = memorySource(bytes);
    const failing = store.putModelFile('m', {
      ...{ name: 'a.bin', size },
      async read(start, end) {
        if (start > 0) throw new CheckpointError('short-read', 'read: cut.');
        return read(start, end);
      },
    });
    await expect(failing).rejects.toThrow('read: cut.');
    expect(await keys()).toEqual([]);
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
    expect(Uploads).toEqual([]);
  });

  test('a run of more keys than a listing holds is removed whole', async () => {
    const run = store.ofRun(RUN);
    const names = Array.from({ length: 1003 }, (_, i) => i.toString(16).padStart(64, '0'));
    for (let i = 0; i < names.length; i += 40) {
      await Promise.all(names.slice(i, i + 40).map((name) => run.writeRecord(name, '{}')));
    }
    await store.ofRun(OTHER).writeRecord(RUN, '{}');
    await store.removeRun(RUN);
    expect(await keys()).toEqual([`p/runs/${OTHER}/records/${RUN}.json`]);
  });

  test('what a run read is gone from this machine with it', async () => {
    const ref = await put(Uint8Array.of(1, 2));
    await (await store.ofRun(RUN).open(ref)).read(0, 2);
    expect(await readdir(local)).toHaveLength(1);
    await store.removeRun(RUN);
    expect(await readdir(local)).toEqual([]);
  });

  test('a model that changes while it is read is not read on', async () => {
    await store.putModelFile('m', memorySource(Uint8Array.of(1, 2, 3), 'a.bin'));
    const file = await (await store.openModel('m')).open('a.bin');
    expect(await file!.read(0, 2)).toEqual(Uint8Array.of(1, 2));
    await store.putModelFile('m', memorySource(Uint8Array.of(4, 5, 6, 7), 'a.bin'));
    const error = await refusal(file!.read(0, 2));
    expect(error.message).toMatch(/PreconditionFailed.* The model was changed while it was read/);
  });

  test('a read that is given up ends with its reason', async () => {
    await store.putModelFile('m', memorySource(Uint8Array.of(1, 2, 3), 'a.bin'));
    const file = (await (await store.openModel('m')).open('a.bin'))!;
    const stop = new AbortController();
    proxy.meddle = () => stop.abort(new Error('enough')); // and no answer
    await expect(file.read(0, 2, stop.signal)).rejects.toThrow('enough');
    await expect(file.read(0, 2, stop.signal)).rejects.toThrow('enough');
  });

  test('an answer that was changed on its way is refused by its hash', async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 7);
    const ref = await put(bytes);
    const other = (await open()).ofRun(RUN);
    proxy.meddle = ({ status, headers, body }, response) => {
      response.writeHead(status, headers).end(body.map((byte, i) => byte ^ Number(i === 500)));
    };
    await expect(other.open(ref)).rejects.toMatchObject({ code: 'damaged-content' });
    expect(await readdir(local)).toHaveLength(1); // that which was put
    proxy.meddle = undefined;
    expect(await (await other.open(ref)).read(0, 1000)).toEqual(bytes);
  });

  test('an answer that breaks off is an error of the server, and leaves nothing here', async () => {
    const bytes = new Uint8Array(100_000);
    const ref = await put(bytes);
    await store.ofRun(RUN).writeRecord(OTHER, 'x'.repeat(10_000));
    await store.putModelFile('m', memorySource(bytes, 'a.bin'));
    const file = (await (await store.openModel('m')).open('a.bin'))!;
    const other = (await open()).ofRun(RUN);
    proxy.meddle = ({ status, headers, body }, response) => {
      response.writeHead(status, headers);
      response.write(body.subarray(0, 5000), () => response.destroy());
    };
    const attempts = [
      () => file.read(0, 90_000),
      () => other.readRecord(OTHER),
      () => other.open(ref),
    ];
    for (const attempt of attempts) {
      expect((await refusal(attempt())).message).toMatch(/must answer, got .*(ECONNRESET|aborted)/);
    }
    expect(await readdir(local)).toHaveLength(1);
  });

  test('a server that sends more than the range is refused by what it announces', async () => {
    await store.putModelFile('m', memorySource(new Uint8Array(1000), 'a.bin'));
    const file = (await (await store.openModel('m')).open('a.bin'))!;
    proxy.meddle = ({ headers }, response) => {
      response.writeHead(200, { ...headers, 'content-length': String(2 ** 40) });
      response.write(new Uint8Array(10));
    };
    await expect(file.read(10, 20)).rejects.toMatchObject({ code: 'short-read' });
  });

  test('no such bucket', async () => {
    const { message } = await refusal(open('s3://no-such-bucket/p'));
    expect(message).toMatch(
      /^store: s3:\/\/no-such-bucket\/p must answer, got NoSuchBucket.* Make/,
    );
  });

  test('credentials that the server does not know', async () => {
    await server.guard(true);
    try {
      for (const attempt of [
        () => open(),
        () => put(Uint8Array.of(1)),
        () => store.removeRun(RUN),
      ]) {
        const { message } = await refusal(attempt());
        expect(message).toMatch(/got InvalidAccessKeyId.* Do AWS_ACCESS_KEY_ID and AWS_SECRET/);
      }
    } finally {
      await server.guard(false);
    }
    expect((await readdir(local)).length).toBe(0);
  });

  test('no server', async () => {
    const other = await meddlingProxy(server.env.AWS_ENDPOINT_URL_S3!);
    vi.stubEnv('AWS_ENDPOINT_URL_S3', other.url);
    try {
      const opened = await open();
      other.close();
      for (const attempt of [() => open(), () => opened.ofRun(RUN).readRecord(RUN)]) {
        const { message } = await refusal(attempt());
        expect(message).toMatch(/must answer, got ECONN(REFUSED|RESET).* Is the server up/);
      }
    } finally {
      vi.stubEnv('AWS_ENDPOINT_URL_S3', proxy.url);
    }
  });

  test.each([
    ...['s3:', 's3://', 's3://a', 's3://A-BUCKET/p', 's3://bucket/../p', 's3://bucket/p/..'],
    ...['s3://bucket/./p', 's3://bucket//p', 's3://key:secret@bucket/p', 's3://bucket/p?x=1'],
    ...['s3://bucket/p\n', 's3://bucket/%2e%2e', 's3://bucket\\p', 'S3://bucket/p'],
  ])('a place of another form is refused, and not shown: %j', async (place) => {
    const { message } = await refusal(openBucketStore(place, local));
    expect(message).toBe('store: expected s3://BUCKET/PREFIX, got another form.');
  });
});
