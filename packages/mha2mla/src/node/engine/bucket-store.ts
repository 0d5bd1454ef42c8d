/**
 * A bucket of S3, or of a server that speaks its protocol, as the place of a run's contents, by the
 * official client. A content that is read lies in a local folder meanwhile, once its hash was checked.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { assertPlainName, type ByteSource, type FileStore, showJson } from '@mha2mla/checkpoint';
import { atomicWriteFile } from '@mha2mla/checkpoint/node';
import { JobError } from '../../jobs/job-error';
import type { ContentRef, JobStore, SharedStore } from '../../jobs/job-store';
import { importPeer } from './import-peer';
import { sourceOfFile } from './source-of-file';
import { assertDigest, damaged, MOST_RECORD_BYTES, missing, RUNS } from './store-place';

type Sdk = typeof import('@aws-sdk/client-s3');

const INSTALL = '@aws-sdk/client-s3 @aws-sdk/lib-storage';

/** What an upload reads at once. */
const PART_BYTES = 8 * 2 ** 20;

/** Contents that lie in the local folder at once: a job reads one after the other. */
const MOST_LOCAL = 4;

interface Bucket {
  sdk: Sdk;
  client: S3Client;
  bucket: string;
  /** Before each key, with its slash, or nothing. */
  prefix: string;
  name: string;
}

/**
 * @param place `s3://BUCKET/PREFIX`; server, region and credentials are the SDK's own settings.
 * @param local a folder of the caller's, for what is being read or written.
 * @throws JobError `engine` for another form, or without the SDK.
 */
export async function openBucketStore(place: string, local: string): Promise<SharedStore> {
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})(?:\/([\w!.*'()/-]*))?$/.exec(place);
  if (!found || found[2]?.split('/').includes('..')) {
    throw new JobError('engine', 'store: expected s3://BUCKET/PREFIX, got another form.');
  }
  const sdk = await importPeer(() => import('@aws-sdk/client-s3'), INSTALL);
  const own = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  // Servers other than Amazon's seldom have a host name for each bucket.
  const client = new sdk.S3Client({ forcePathStyle: own !== undefined });
  const folder = (found[2] ?? '').replace(/\/+$/, '');
  const bucket: Bucket = {
    ...{ sdk, client, bucket: found[1]!, name: place },
    prefix: folder && `${folder}/`,
  };
  return {
    name: place,
    ofRun: (run) => runStore(bucket, `${RUNS}/${assertDigest('a run', run)}/`, local),
    removeRun: (run) => removeAll(bucket, `${RUNS}/${assertDigest('a run', run)}/`),
    openModel: async (path) => modelStore(bucket, checkFolder(path)),
    async putModelFile(path, file) {
      const key = `${checkFolder(path)}/${assertPlainName(file.name)}`;
      const head = new sdk.HeadObjectCommand(placeIn(bucket)(key));
      const there = await ifThere(bucket, client.send(head));
      if (there?.ContentLength !== file.size) await upload(bucket, key, partsOf(file));
    },
  };
}

function runStore(bucket: Bucket, folder: string, local: string): JobStore {
  const keyOf = ({ sha256 }: ContentRef) =>
    `${folder}contents/${assertDigest('a content', sha256)}`;
  const recordOf = (key: string) => `${folder}records/${assertDigest('a job', key)}.json`;
  const { client, sdk } = bucket;
  const at = placeIn(bucket);
  const fetched = new Map<string, Promise<ByteSource>>();
  return {
    name: bucket.name,
    async put(produce) {
      const path = join(local, `incoming-${randomUUID()}`);
      try {
        const { sha256, sizeBytes } = await atomicWriteFile(path, produce);
        await upload(bucket, keyOf({ sha256, sizeBytes }), createReadStream(path));
        return { sha256, sizeBytes };
      } finally {
        await rm(path, { force: true });
      }
    },
    open(ref) {
      const source = fetched.get(ref.sha256) ?? fetchContent(bucket, keyOf(ref), ref, local);
      fetched.delete(ref.sha256);
      fetched.set(ref.sha256, source); // the newest comes last
      source.catch(() => fetched.delete(ref.sha256));
      for (const sha256 of [...fetched.keys()].slice(0, -MOST_LOCAL)) void forget(sha256);
      return source;
    },
    async remove(ref) {
      await forget(ref.sha256);
      await asked(bucket, client.send(new sdk.DeleteObjectCommand(at(keyOf(ref)))));
    },
    async readRecord(key) {
      const found = await ifThere(bucket, client.send(new sdk.GetObjectCommand(at(recordOf(key)))));
      if (!found) return undefined;
      if ((found.ContentLength ?? 0) > MOST_RECORD_BYTES) return '';
      return found.Body!.transformToString();
    },
    async writeRecord(key, text) {
      const record = { ...at(recordOf(key)), Body: text };
      await asked(bucket, client.send(new sdk.PutObjectCommand(record)));
    },
  };

  async function forget(sha256: string): Promise<void> {
    const source = fetched.get(sha256);
    fetched.delete(sha256);
    if (!source) return;
    await source.catch(() => {});
    await rm(join(local, sha256), { force: true });
  }
}

/** Fetch a content into the local folder. */
async function fetchContent(
  bucket: Bucket,
  key: string,
  ref: ContentRef,
  local: string,
): Promise<ByteSource> {
  const command = new bucket.sdk.GetObjectCommand(placeIn(bucket)(key));
  const found = await ifThere(bucket, bucket.client.send(command));
  if (!found) throw missing(bucket.name, ref);
  if (found.ContentLength !== ref.sizeBytes) {
    throw damaged(bucket.name, ref, `${found.ContentLength} bytes`);
  }
  const path = join(local, ref.sha256);
  const body = found.Body as AsyncIterable<Uint8Array>;
  const { sha256, sizeBytes } = await atomicWriteFile(path, async (sink) => {
    for await (const part of body) await sink.write(part);
  });
  if (sha256 === ref.sha256 && sizeBytes === ref.sizeBytes) return sourceOfFile(path, ref);
  await rm(path, { force: true });
  throw damaged(bucket.name, ref, sha256);
}

/** Large files go in parts, several at once, and appear only when whole. */
async function upload(bucket: Bucket, key: string, body: Readable): Promise<void> {
  const { Upload } = await importPeer(() => import('@aws-sdk/lib-storage'), INSTALL);
  const params = { ...placeIn(bucket)(key), Body: body };
  await asked(bucket, new Upload({ client: bucket.client, params }).done());
}

/** A file's bytes as a stream, a few megabytes at a time. */
function partsOf(file: ByteSource): Readable {
  return Readable.from(
    (async function* () {
      for (let start = 0; start < file.size; start += PART_BYTES) {
        yield await file.read(start, Math.min(start + PART_BYTES, file.size));
      }
    })(),
  );
}

/** A model's files, read by ranges of the version that was opened. */
function modelStore(bucket: Bucket, folder: string): FileStore {
  const { client, sdk, name } = bucket;
  const at = placeIn(bucket);
  return {
    name: `${name}/${folder}`,
    async open(path) {
      const file = at(`${folder}/${assertPlainName(path)}`);
      const head = await ifThere(bucket, client.send(new sdk.HeadObjectCommand(file)));
      if (!head) return undefined;
      const { ContentLength: size = 0, ETag: IfMatch } = head;
      return {
        name: path,
        size,
        async read(start, end, signal) {
          if (start === end) return new Uint8Array();
          const Range = `bytes=${start}-${end - 1}`;
          const command = new sdk.GetObjectCommand({ ...file, Range, IfMatch });
          const { Body } = await asked(bucket, client.send(command, { abortSignal: signal }));
          const bytes = await Body!.transformToByteArray();
          if (bytes.byteLength === end - start) return bytes;
          throw refused(bucket, new Error(`${bytes.byteLength} bytes for ${Range} of ${path}`));
        },
      };
    },
  };
}

/** Remove all keys that begin so, a thousand at a time. */
async function removeAll(bucket: Bucket, folder: string): Promise<void> {
  const { client, sdk } = bucket;
  const { Bucket, Key: Prefix } = placeIn(bucket)(folder);
  for (;;) {
    const list = new sdk.ListObjectsV2Command({ Bucket, Prefix });
    const { Contents = [] } = await asked(bucket, client.send(list));
    if (Contents.length === 0) return;
    const Objects = Contents.map(({ Key }) => ({ Key }));
    await asked(bucket, client.send(new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects } })));
  }
}

function placeIn({ bucket, prefix }: Bucket) {
  return (key: string) => ({ Bucket: bucket, Key: prefix + key });
}

/** A path of plain names. @throws JobError `bad-job` */
function checkFolder(path: string): string {
  const names = path.split('/');
  if (names.every((name) => /^[\w.-]+$/.test(name) && name !== '..' && name !== '.')) return path;
  throw new JobError(
    'bad-job',
    `store: a model's folder must be plain names, got ${showJson(path)}.`,
  );
}

async function asked<T>(bucket: Bucket, request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (cause) {
    throw refused(bucket, cause);
  }
}

async function ifThere<T>(bucket: Bucket, request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (cause) {
    const { name } = cause as Error;
    if (name === 'NoSuchKey' || name === 'NotFound') return undefined;
    throw refused(bucket, cause);
  }
}

function refused({ name }: Bucket, cause: unknown): JobError {
  const { name: code, message } = cause as Error;
  return new JobError('engine', `store: ${name} must answer, got ${code}: ${message}`, { cause });
}
