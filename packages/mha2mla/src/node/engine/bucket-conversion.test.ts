/** A conversion whose contents and model lie in a bucket gives the bytes of one on one machine. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { convertModel } from '../../convert/convert-model';
import { inlineRunner } from '../../convert/inline-runner';
import { tinyInputs, tinyLlava } from '../../convert/tiny-llava';
import { inlineEngine } from '../../jobs/engine';
import { spreadConversion } from '../../jobs/spread-conversion';
import { memoryOutput } from '../../output/result-output';
import { openModelFolder } from '../open-model';
import { jobModels } from './job-models';
import { openStore } from './open-store';
import { placeModel } from './place-model';
import { type S3Server, s3Missing, startS3 } from './testing/start-s3';

const missing = s3Missing();
const [RUN, Bucket] = ['a'.repeat(64), 'conversions'];

describe.skipIf(missing)(`over a bucket${missing ? ` [${missing}]` : ''}`, () => {
  let server: S3Server | undefined;
  let root: string;

  beforeAll(async () => {
    await tf.setBackend('wasm');
    await tf.ready();
    root = await mkdtemp(join(tmpdir(), 'mha2mla-bucket-'));
    server = await startS3();
    for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server?.stop();
    await rm(root, { recursive: true });
  });

  test('the same bytes, by machines that see only the bucket, and nothing of the run stays', async () => {
    const client = new S3Client({ forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket }));
    const folder = join(root, 'model');
    await mkdir(folder);
    const files = await tinyLlava({ files: { 'README.md': new Uint8Array() } });
    for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
    const { source, close } = await openModelFolder(folder);
    const calibration = [tinyInputs(1), tinyInputs(2), tinyInputs(3, 2)];
    const options = {
      ropeDim: 4,
      rank: 4,
      cache: { kvBits: 4, kvMethod: 'static' },
      calibration,
    } as const;
    const expected = memoryOutput();
    const report = await convertModel(source, expected, options);

    const place = { place: `s3://${Bucket}/some/runs`, scratch: root };
    const [store, worker] = await Promise.all([openStore(place), openStore(place)]);
    const model = await placeModel(folder, source, { store, place });
    expect(await placeModel(folder, source, { store, place })).toEqual(model);
    const runtime = { version: 'test', backend: 'wasm' };
    const models = jobModels(worker);
    const engine = inlineEngine({ store: worker, runtime, models, factorize: inlineRunner });
    const output = memoryOutput();
    const spread = { ...options, engine, store, run: RUN, model };
    expect(await spreadConversion(source, output, spread)).toEqual(report);
    expect([...output.files.keys()].sort()).toEqual([...expected.files.keys()].sort());
    for (const [name, bytes] of expected.files) {
      expect(Buffer.compare(output.files.get(name)!, bytes), name).toBe(0);
    }
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    const copied = await readdir(folder);
    expect(Contents.map(({ Key }) => Key!.split('/').at(-1)).sort()).toEqual(copied.sort());
    await close();
  });
});
