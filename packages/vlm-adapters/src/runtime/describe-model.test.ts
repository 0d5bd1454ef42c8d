import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { memoryStore } from '@mha2mla/checkpoint';
import { expectNoLeak, fixture, serveFiles } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { expect, test } from 'vitest';
import { qwen25Vl } from '../qwen2-5-vl/qwen2-5-vl-family';
import { describeInWorker } from './describe-in-worker';
import { describeModel } from './describe-model';
import { loadModel } from './load-model';
import { serveModel } from './serve-model';

const families = [qwen25Vl];
const ORIGINAL = 'fixtures/hf/qwen2_5_vl/checkpoint';
const CONVERTED = 'fixtures/hf/qwen2_5_vl/mha2mla/converted_checkpoint';

/** Of a folder, and the rank file that the fixtures have beside theirs. */
function filesOf(folder: string): Map<string, Uint8Array> {
  const names = readdirSync(fixture(folder)).map((name) => `${folder}/${name}`);
  const paths = [...names, 'fixtures/hf/qwen2_5_vl/mha2mla/ranks.pth'];
  return new Map(paths.map((path) => [basename(path), readFileSync(fixture(path))]));
}

const describeFolder = (folder: string) =>
  describeModel(memoryStore(filesOf(folder)), { families });

test('a description tells what loading reads and what it holds', async () => {
  await tf.setBackend('wasm');
  await expectNoLeak(async () => {
    const told = await describeFolder(ORIGINAL);
    const before = tf.memory().numBytes;
    let total = 0;
    const model = await loadModel(memoryStore(filesOf(ORIGINAL)), {
      families,
      backend: 'wasm',
      onProgress: (progress) => {
        total = progress.total;
      },
    });
    expect(told.storedBytes).toBe(total);
    expect(told.memoryBytes).toBe(tf.memory().numBytes - before);
    await model.dispose();
  });
});

test('a converted model is told by its cache, beside that of what it was', async () => {
  const original = await describeFolder(ORIGINAL);
  const converted = await describeFolder(CONVERTED);
  expect([original.isConverted, converted.isConverted]).toEqual([false, true]);
  const whole = original.cacheBytesPerToken;
  expect([whole.vision, whole.text]).toEqual(Array(2).fill(original.originalCacheBytesPerToken));
  expect(converted.originalCacheBytesPerToken).toBe(original.originalCacheBytesPerToken);
  expect(converted.cacheBytesPerToken.text).toBeLessThan(whole.text);
});

test('a worker describes as the page does, and tells errors whole', async () => {
  const files = filesOf(CONVERTED);
  const server = await serveFiles((path) => {
    const bytes = path.startsWith('model/') ? files.get(basename(path)) : undefined;
    return bytes && { bytes };
  });
  const { port1, port2 } = new MessageChannel();
  serveModel({ families, endpoint: port1 });
  const told = await describeInWorker(port2, `${server.url}model`);
  expect(told).toEqual(await describeFolder(CONVERTED));
  const missing = describeInWorker(port2, `${server.url}none`);
  await expect(missing).rejects.toMatchObject({ code: 'missing-file' });
  const signal = AbortSignal.abort(new Error('given up'));
  await expect(describeInWorker(port2, server.url, { signal })).rejects.toThrow('given up');
  port1.close();
  await server.close();
});
