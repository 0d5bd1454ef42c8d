/** Laws of a model in a worker, over a `MessageChannel`, its files read by HTTP ranges. */
import { existsSync, readFileSync } from 'node:fs';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { type FileServer, fixture, serveFiles } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { RgbImage } from '../image/rgb-image';
import { llava } from '../llava/llava-family';
import type { ChatMessage } from './chat-message';
import { connectModel } from './connect-model';
import { loadModel } from './load-model';
import type { Model } from './model';
import { serveModel } from './serve-model';
import type { Endpoint, FromWorker, ToWorker } from './worker-protocol';

const families = [llava];
let server: FileServer;
let image: RgbImage;
let whole: string;
beforeAll(async () => {
  server = await serveFiles((path) =>
    existsSync(fixture(path)) ? { bytes: readFileSync(fixture(path)) } : undefined,
  );
  const raw = sharp(fixture('models/scenes/images/test-000.png')).removeAlpha().raw();
  const { data, info } = await raw.toBuffer({ resolveWithObject: true });
  image = { data: Uint8Array.from(data), width: info.width, height: info.height };
  const store = await nodeStore(fixture('models/llava'));
  const model = await loadModel(store, { families, backend: 'wasm' });
  whole = (await model.chat(ask())).text;
  await model.dispose();
  await store.close?.();
});
afterAll(() => server.close());

const ask = (text = 'list all the objects in order.'): ChatMessage[] => [
  {
    role: 'user',
    content: [
      { type: 'image', image },
      { type: 'text', text },
    ],
  },
];

let channel: MessageChannel;
let sent: number[];
let ended: number[];
beforeEach(() => {
  channel = new MessageChannel();
  [sent, ended] = [[], []];
  channel.port2.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
    if (['result', 'error', 'abort'].includes(data.type)) ended.push(data.id);
  });
  channel.port1.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
    if (['load', 'chat', 'dispose'].includes(data.type)) sent.push(data.id);
  });
  serveModel({ families, endpoint: channel.port1 });
});
afterEach(() => {
  channel.port1.close();
  expect(
    ended.sort((a, b) => a - b),
    'each request ends once',
  ).toEqual(sent);
});

const connect = (options = {}): Promise<Model> =>
  connectModel(channel.port2, `${server.url}models/llava`, { backend: 'wasm', ...options });

test('a model in a worker answers as one here, with the same members', async () => {
  const told: { loaded: number; total: number }[] = [];
  const model = await connect({ onProgress: (progress: (typeof told)[0]) => told.push(progress) });
  expect(told[0]!.loaded).toBe(0);
  expect(told.at(-1)!.loaded).toBe(told[0]!.total);
  expect([model.backend, model.contextWindow]).toEqual(['wasm', 2048]);
  const reply = model.chat(ask());
  let read = '';
  for await (const { text } of reply) read += text;
  const { text, finishReason, usage } = await reply;
  expect([read, text, finishReason]).toEqual([whole, whole, 'stop']);
  expect(model.contextUsage).toBe(usage.inputTokens + usage.outputTokens - 1);
  await model.dispose();
});

test('stop, leaving the loop and abort are heard in every phase, and the next answers', async () => {
  const model = await connect();
  const stopped = model.chat(ask());
  stopped.stop();
  expect((await stopped).finishReason).toBe('abort');
  const left = model.chat(ask());
  for await (const _ of left) break;
  const { text, finishReason } = await left;
  expect([finishReason, text.length < whole.length]).toEqual(['abort', true]);
  await model.chat([{ role: 'user', content: 'another beginning' }], { maxTokens: 1 });
  for (const phase of ['before', 'vision', 'prefill', 'decode']) {
    const controller = new AbortController();
    const reason = new Error(phase);
    if (phase === 'before') controller.abort(reason);
    const { signal } = controller;
    const onProgress = (progress: { phase: string }) =>
      progress.phase === phase && controller.abort(reason);
    const reply = model.chat(ask(), { signal, onProgress });
    const read = async () => {
      for await (const _ of reply) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    if (phase === 'decode') expect(model.contextUsage).toBeGreaterThan(16); // what was prefilled
    await model.chat([{ role: 'user', content: phase }], { maxTokens: 1 });
  }
  expect((await model.chat(ask())).text).toBe(whole);
  await model.dispose();
});

test('loading can be given up, and what was loaded is freed', async () => {
  const before = tf.memory().numTensors;
  for (const at of [1, 5, 40]) {
    const controller = new AbortController();
    let calls = 0;
    const onProgress = () => ++calls === at && controller.abort(new Error(`at ${at}`));
    await expect(connect({ signal: controller.signal, onProgress })).rejects.toThrow(`at ${at}`);
  }
  expect(tf.memory().numTensors).toBe(before);
});

test('errors keep name, message, code, fields and cause', async () => {
  const missing = connectModel(channel.port2, `${server.url}models/none`, { backend: 'wasm' });
  await expect(missing).rejects.toMatchObject({ name: 'CheckpointError', code: 'missing-file' });
  const unreachable = connectModel(channel.port2, 'http://127.0.0.1:1/', { backend: 'wasm' });
  await expect(unreachable).rejects.toMatchObject({
    code: 'io',
    message: expect.stringContaining('must be reachable'),
    cause: { name: 'TypeError', cause: expect.any(Error) },
  });
  const model = await connect();
  await expect(model.chat(ask('word '.repeat(3000)))).rejects.toMatchObject({
    name: 'ContextFullError',
    code: 'context-full',
    contextWindow: model.contextWindow,
    tokens: expect.any(Number),
  });
  const file = [{ role: 'user', content: [{ type: 'image' as const, image: new Blob(['?']) }] }];
  await expect(model.chat(file)).rejects.toMatchObject({ code: 'bad-image' });
  const uncloneable = { ...image, show: () => {} };
  const messages = [{ role: 'user', content: [{ type: 'image' as const, image: uncloneable }] }];
  await expect(model.chat(messages)).rejects.toMatchObject({ name: 'DataCloneError' });
  expect((await model.chat(ask())).text).toBe(whole);
  await model.dispose();
  await expect(model.chat(ask())).rejects.toMatchObject({ code: 'disposed' });
});

test('two models of one worker are two, and disposing one stops what it runs', async () => {
  const [one, two] = [await connect(), await connect()];
  const [first, second] = [one.chat(ask()), two.chat(ask())];
  await one.dispose();
  expect((await first).finishReason).toBe('abort');
  expect((await second).text).toBe(whole);
  await two.dispose();
});

test('a worker whose script is missing fails what waits and what comes', async () => {
  const worker = Object.assign(new EventTarget(), { postMessage: () => {} }) as Endpoint &
    EventTarget;
  const loading = connectModel(worker, server.url);
  worker.dispatchEvent(new Event('error'));
  const failed = { code: 'worker-failed', message: expect.stringContaining('reload') };
  await expect(loading).rejects.toMatchObject(failed);
  await expect(connectModel(worker, server.url)).rejects.toMatchObject(failed);
});
