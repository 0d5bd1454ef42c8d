/** A bucket as the place of a run's contents: the keys are the paths of a folder's store. */
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { assertPlainName, type ByteSource } from '@mha2mla/checkpoint';
import { atomicWriteFile } from '@mha2mla/checkpoint/node';
import { JobError } from '../../jobs/job-error';
import type { ContentRef, JobStore, SharedStore } from '../../jobs/job-store';
import { type Bucket, openBucket, S3_PACKAGES } from './bucket';
import { bucketModel } from './bucket-model';
import { importPeer } from './import-peer';
import { type LocalCopies, localCopies } from './local-copies';
import { sourceOfFile } from './source-of-file';
import {
  assertDigest,
  assertModelFolder,
  damaged,
  MOST_RECORD_BYTES,
  missing,
  RUNS,
} from './store-place';

/** Of an upload; four are in memory at once. S3 takes parts of at least 5 MiB. */
const PART_BYTES = 8 * 2 ** 20;

/** That S3 takes of one upload. */
const MOST_PARTS = 10_000;

/**
 * @param place `s3://BUCKET/PREFIX`; server, region and credentials are the SDK's own settings.
 * @param local a folder of the caller's, for what is being read or written.
 * @throws JobError `engine` for another form, without the SDK, or where the bucket does not answer.
 */
export async function openBucketStore(place: string, local: string): Promise<SharedStore> {
  const bucket = await openBucket(place);
  const copies = localCopies(local);
  const folderOf = (run: string) => `${RUNS}/${assertDigest('a run', run)}/`;
  return {
    name: place,
    ofRun: (run) => runStore(bucket, folderOf(run), copies),
    async removeRun(run) {
      const folder = folderOf(run);
      await copies.forget(folder);
      await removeAll(bucket, folder);
    },
    openModel: async (path) => bucketModel(bucket, assertModelFolder(path)),
    async putModelFile(path, file) {
      const key = `${assertModelFolder(path)}/${assertPlainName(file.name)}`;
      const head = new bucket.sdk.HeadObjectCommand(bucket.at(key));
      const there = await bucket.find(() => bucket.client.send(head));
      if (there?.ContentLength !== file.size) await upload(bucket, key, file);
    },
  };
}

function runStore(bucket: Bucket, folder: string, copies: LocalCopies): JobStore {
  const keyOf = ({ sha256 }: ContentRef) =>
    `${folder}contents/${assertDigest('a content', sha256)}`;
  const recordOf = (key: string) =>
    bucket.at(`${folder}records/${assertDigest('a job', key)}.json`);
  const { client, sdk } = bucket;
  return {
    name: bucket.name,
    async put(produce) {
      // Its name is known when all of it was seen.
      const path = copies.path();
      const { sha256, sizeBytes } = await atomicWriteFile(path, produce);
      const ref = { sha256, sizeBytes };
      try {
        await upload(bucket, keyOf(ref), sourceOfFile(path, ref));
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
      await copies.adopt(keyOf(ref), path);
      return ref;
    },
    async open(ref, signal) {
      signal?.throwIfAborted();
      const key = keyOf(ref);
      return copies.open(key, ref, (path) => fetchContent(bucket, key, ref, path));
    },
    async remove(ref) {
      await copies.forget(keyOf(ref));
      await bucket.ask(() => client.send(new sdk.DeleteObjectCommand(bucket.at(keyOf(ref)))));
    },
    async readRecord(key) {
      const place = recordOf(key);
      return bucket.find(async () => {
        const { Body, ContentLength } = await client.send(new sdk.GetObjectCommand(place));
        if (ContentLength! <= MOST_RECORD_BYTES) return Body!.transformToString();
        (Body as Readable).destroy();
        return '';
      });
    },
    async writeRecord(key, text) {
      const record = new sdk.PutObjectCommand({ ...recordOf(key), Body: Buffer.from(text) });
      await bucket.ask(() => client.send(record));
    },
  };
}

/** Bring a content to a path, if it is that which was written. */
async function fetchContent(bucket: Bucket, key: string, ref: ContentRef, path: string) {
  const command = new bucket.sdk.GetObjectCommand(bucket.at(key));
  const found = await bucket.find(() => bucket.client.send(command));
  if (!found) throw missing(bucket.name, ref);
  const body = found.Body as Readable;
  if (found.ContentLength !== ref.sizeBytes) {
    body.destroy();
    throw damaged(bucket.name, ref, `${found.ContentLength} bytes`);
  }
  const { sha256 } = await bucket.ask(() =>
    atomicWriteFile(path, async (sink) => {
      for await (const part of body) await sink.write(part);
    }),
  );
  if (sha256 === ref.sha256) return;
  await rm(path, { force: true });
  throw damaged(bucket.name, ref, sha256);
}

/** Large files go in parts, several at once, and appear only when whole. */
async function upload(bucket: Bucket, key: string, file: ByteSource): Promise<void> {
  const { Upload } = await importPeer(() => import('@aws-sdk/lib-storage'), S3_PACKAGES);
  const params = { ...bucket.at(key), Body: Readable.from(partsOf(file)) };
  const partSize = Math.max(PART_BYTES, Math.ceil(file.size / MOST_PARTS));
  await bucket.ask(() => new Upload({ client: bucket.client, params, partSize }).done());
}

async function* partsOf(file: ByteSource): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < file.size; start += PART_BYTES) {
    yield await file.read(start, Math.min(start + PART_BYTES, file.size));
  }
}

/** Remove all keys that begin so, a thousand at a time. */
async function removeAll(bucket: Bucket, folder: string): Promise<void> {
  const { client, sdk } = bucket;
  const { Bucket, Key: Prefix } = bucket.at(folder);
  for (;;) {
    const list = new sdk.ListObjectsV2Command({ Bucket, Prefix });
    const { Contents = [] } = await bucket.ask(() => client.send(list));
    if (Contents.length === 0) return;
    const Delete = { Objects: Contents.map(({ Key }) => ({ Key })), Quiet: true };
    const removal = new sdk.DeleteObjectsCommand({ Bucket, Delete });
    const { Errors: [kept] = [] } = await bucket.ask(() => client.send(removal));
    if (!kept) continue;
    // Or the next list would be the same.
    throw new JobError(
      'engine',
      `store: ${bucket.name} must let its keys be removed, got ${kept.Code}. Does whoever runs this have s3:DeleteObject there?`,
    );
  }
}
