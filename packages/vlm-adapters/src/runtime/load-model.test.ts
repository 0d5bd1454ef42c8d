/** Laws of a loaded model, on the small ones; its session's are in chat-session.test.ts. */
import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RgbImage } from '../image/rgb-image';
import { llava } from '../llava/llava-family';
import { llavaNext } from '../llava-next/llava-next-family';
import { qwen25Vl } from '../qwen2-5-vl/qwen2-5-vl-family';
import type { ChatMessage } from './chat-message';
import { type LoadModelOptions, loadModel } from './load-model';
import type { Model } from './model';

const families = [llava, llavaNext, qwen25Vl];
const LIST = 'list all the objects in order.';

async function decodeFile(file: string | Uint8Array): Promise<RgbImage> {
  const raw = sharp(file).removeAlpha().raw();
  const { data, info } = await raw.toBuffer({ resolveWithObject: true });
  return { data: Uint8Array.from(data), width: info.width, height: info.height };
}

async function load(folder: string, options: Partial<LoadModelOptions> = {}): Promise<Model> {
  const store = await nodeStore(fixture(folder));
  try {
    return await loadModel(store, { families, backend: 'wasm', ...options });
  } finally {
    await store.close?.();
  }
}

let image: RgbImage;
beforeAll(async () => {
  image = await decodeFile(fixture('models/scenes/images/test-000.png'));
});

const ask = (text = LIST): ChatMessage[] => [
  {
    role: 'user',
    content: [
      { type: 'image', image },
      { type: 'text', text },
    ],
  },
];

describe('a model', () => {
  let model: Model;
  let whole: string;
  beforeAll(async () => {
    model = await load('models/llava');
    whole = (await model.chat(ask())).text;
  });
  afterAll(() => model.dispose());

  test('answers in parts and as a whole, and goes on behind what it holds', async () => {
    expect(model.backend).toBe('wasm');
    const reply = model.chat(ask());
    let read = '';
    for await (const { text } of reply) read += text;
    const { text, finishReason, usage, stats } = await reply;
    expect([text, finishReason]).toEqual([read, 'stop']);
    expect(usage.cachedInputTokens).toBeGreaterThan(0);
    expect(stats.cacheBytesAllocated).toBeGreaterThan(0);
    expect(model.contextUsage).toBe(usage.inputTokens + usage.outputTokens - 1);
    expect(model.contextUsage).toBeLessThan(model.contextWindow);
    const more: ChatMessage[] = [
      ...ask(),
      { role: 'assistant', content: text },
      { role: 'user', content: 'what is in the middle center?' },
    ];
    const phases = new Set<string>();
    const next = await model.chat(more, { onProgress: ({ phase }) => phases.add(phase) });
    expect([...phases]).toEqual(['prefill']);
    expect(next.usage.cachedInputTokens).toBeGreaterThanOrEqual(usage.inputTokens);
  });

  test('draws without a seed, and the same with one', async () => {
    const draw = async (seed?: number) =>
      (await model.chat(ask(), { temperature: 100, maxTokens: 8, seed })).text;
    const [one, two, free, freer] = [await draw(1), await draw(1), await draw(), await draw()];
    expect(one).toBe(two);
    expect(new Set([one, free, freer]).size).toBeGreaterThan(1);
  });

  test('takes pictures as files where they can be decoded, and says so where not', async () => {
    const file = await sharp(fixture('models/scenes/images/test-000.png')).png().toBuffer();
    const blob = new Blob([Uint8Array.from(file)]);
    const content = [
      { type: 'image' as const, image: blob },
      { type: 'text' as const, text: LIST },
    ];
    const messages = [{ role: 'user', content }];
    await expect(model.chat(messages)).rejects.toMatchObject({ code: 'bad-image' });
    const decodeImage: LoadModelOptions['decodeImage'] = async (given) =>
      decodeFile(new Uint8Array(await (given as Blob).arrayBuffer()));
    const decoding = await load('models/llava', { decodeImage });
    expect((await decoding.chat(messages)).text).toBe(whole);
    await decoding.dispose();
  });

  test('refuses messages of another form by their code, and answers the next', async () => {
    const bad: unknown[] = [
      'hello',
      [{ role: 'user', content: 7 }],
      [{ role: 'user', content: [{ type: 'sound' }] }],
      [{ role: 'user', content: [{ type: 'image', image: new Blob() }, null] }],
      [{ role: 'user', content: [{ type: 'image', image: 'cat.png' }] }],
    ];
    for (const messages of bad) {
      await expect(model.chat(messages as ChatMessage[])).rejects.toMatchObject({
        name: 'ModelError',
        code: 'bad-request',
      });
    }
    const long = model.chat(ask('word '.repeat(3000)));
    await expect(long).rejects.toMatchObject({
      code: 'context-full',
      tokens: expect.any(Number),
      contextWindow: model.contextWindow,
    });
    expect((await model.chat([{ role: 'user', content: '<image> is text' }])).text).not.toBe('');
    expect((await model.chat(ask())).text).toBe(whole);
  });

  test('one that waits ends at once when it is given up, and blocks no other', async () => {
    const running = model.chat(ask('what is in the middle center?'));
    const controller = new AbortController();
    const [aborted, stopped] = [
      model.chat(ask(), { signal: controller.signal }),
      model.chat(ask()),
    ];
    const last = model.chat(ask());
    const order: string[] = [];
    const note = (name: string) => () => void order.push(name);
    running.then(note('running'));
    aborted.catch(note('aborted'));
    stopped.then(note('stopped'));
    controller.abort(new Error('enough'));
    stopped.stop();
    await expect(aborted).rejects.toThrow('enough');
    expect(await stopped).toMatchObject({ text: '', finishReason: 'abort' });
    expect((await last).text).toBe(whole);
    expect(order).toEqual(['aborted', 'stopped', 'running']);
  });

  test('fifty answers that are stopped change no later one, and leave nothing', async () => {
    await model.chat(ask());
    const before = tf.memory();
    for (let i = 0; i < 50; i++) {
      const reply = model.chat(ask(i % 2 ? LIST : 'what is in the top left?'));
      if (i % 5 === 0) reply.stop();
      for await (const _ of reply) if (i % 3 > 0) break;
    }
    expect((await model.chat(ask())).text).toBe(whole);
    expect(tf.memory().numTensors).toBe(before.numTensors);
    expect(tf.memory().numBytes).toBe(before.numBytes);
  });
});

test('loading tells the bytes of weights, all that there are, and can be given up anywhere', async () => {
  for (const folder of ['models/llava', 'models/llava_next', 'models/qwen2_5_vl']) {
    const told: number[] = [];
    let total = 0;
    const onProgress = (progress: { loaded: number; total: number }) => {
      told.push(progress.loaded);
      total = progress.total;
    };
    const model = await load(folder, { onProgress });
    expect([told[0], told.at(-1)]).toEqual([0, total]);
    expect(told).toEqual(told.slice().sort((a, b) => a - b));
    await model.dispose();
  }
  const before = tf.memory().numTensors;
  for (const at of [0, 1, 7, 40]) {
    const controller = new AbortController();
    let calls = 0;
    const onProgress = () => ++calls > at && controller.abort(new Error(`at ${at}`));
    const { signal } = controller;
    if (at === 0) controller.abort(new Error('at 0'));
    await expect(load('models/llava', { signal, onProgress })).rejects.toThrow(`at ${at}`);
  }
  expect(tf.memory().numTensors).toBe(before);
});

test('loaded and disposed twenty times, all is as it was; a disposed one says so', async () => {
  let model = await load('fixtures/hf/llava/checkpoint');
  const messages: ChatMessage[] = [{ role: 'user', content: 'hello' }];
  const { text } = await model.chat(messages, { maxTokens: 2 });
  await model.dispose();
  const before = tf.memory();
  for (let round = 0; round < 20; round++) {
    model = await load('fixtures/hf/llava/checkpoint');
    const running = model.chat(messages, { maxTokens: 2 });
    if (round % 2) expect((await running).text).toBe(text);
    await Promise.all([model.dispose(), model.dispose()]);
    expect((await running).finishReason).toBe(round % 2 ? 'length' : 'abort');
  }
  expect(tf.memory().numTensors).toBe(before.numTensors);
  expect(tf.memory().numBytes).toBe(before.numBytes);
  await expect(model.chat(messages)).rejects.toMatchObject({ code: 'disposed' });
});

test('a model whose backend is no longer in use says so', async () => {
  const model = await load('fixtures/hf/llava/checkpoint');
  await tf.setBackend('cpu');
  await expect(model.chat(ask())).rejects.toMatchObject({ code: 'backend-changed' });
  await tf.setBackend('wasm');
  await model.dispose();
});
