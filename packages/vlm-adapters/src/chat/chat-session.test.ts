/** Laws of a conversation over one cache, on the small trained models. */
import { nodeStore } from '@mha2mla/checkpoint/node';
import { expectNoLeak, fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RgbImage } from '../image/rgb-image';
import { llava } from '../llava/llava-family';
import { llavaNext } from '../llava-next/llava-next-family';
import type { Processor, ProcessorSample } from '../model-inputs';
import { openVlm } from '../open-vlm';
import { qwen25Vl } from '../qwen2-5-vl/qwen2-5-vl-family';
import type { Message } from '../text/message-parts';
import { VisionLanguageModel } from '../vision-language-model';
import { ChatSession, type ReplyOptions } from './chat-session';
import type { ReplyResult } from './reply';

const LIST = 'list all the objects in order.';
const CENTER = 'what is in the middle center?';
/** Drawn, so that any difference of the logits would show. */
const DRAWN: ReplyOptions = { maxTokens: 8, temperature: 1, seed: 3 };

let pictures: RgbImage[];
beforeAll(async () => {
  await tf.setBackend('wasm');
  const names = ['test-000', 'test-003'];
  pictures = await Promise.all(
    names.map(async (name) => {
      const file = sharp(fixture(`models/scenes/images/${name}.png`))
        .removeAlpha()
        .raw();
      const { data, info } = await file.toBuffer({ resolveWithObject: true });
      return { data: Uint8Array.from(data), width: info.width, height: info.height };
    }),
  );
});

async function load(folder: string) {
  const store = await nodeStore(fixture(`models/${folder}`));
  const source = await openVlm(store, { families: [llava, llavaNext, qwen25Vl] });
  const processor = await source.family.loadProcessor(source.config, store);
  const model = await VisionLanguageModel.load(source);
  await store.close?.();
  return { model, processor };
}

const user = (text: string, ...media: ('image' | 'video')[]): Message => ({
  role: 'user',
  content: [...media.map((type) => ({ type })), { type: 'text', text }],
});
const assistant = (text: string): Message => ({
  role: 'assistant',
  content: [{ type: 'text', text }],
});

interface Loaded {
  model: VisionLanguageModel;
  processor: Processor;
}

async function alone({ model, processor }: Loaded, sample: ProcessorSample, options = DRAWN) {
  const session = new ChatSession(model, processor);
  const { text, usage } = await session.reply(sample, options);
  expect(usage.cachedInputTokens).toBe(0);
  await session.dispose();
  return text;
}

describe.each(['llava', 'llava_next', 'qwen2_5_vl'])('%s', (folder) => {
  let loaded: Loaded;
  let session: ChatSession;
  let encoded: number;

  beforeAll(async () => {
    loaded = await load(folder);
    const { vision } = loaded.model;
    const encode = vision.encodeSteps!.bind(vision);
    vision.encodeSteps = (...given) => {
      encoded++;
      return encode(...given);
    };
    return () => loaded.model.dispose();
  });

  async function ask(sample: ProcessorSample): Promise<ReplyResult> {
    encoded = 0;
    return session.reply(sample, DRAWN);
  }

  test('a conversation that reuses its beginning answers as one prefill of it all', async () => {
    const { model, processor } = loaded;
    session = new ChatSession(model, processor);
    const [first, second] = pictures as [RgbImage, RgbImage];
    const messages = [user(LIST, 'image')];
    const one = await ask({ messages, images: [first] });
    expect(encoded).toBe(1);
    messages.push(assistant(one.text), user(CENTER));
    const held = session.contextUsage;
    const two = await ask({ messages, images: [first] });
    expect(encoded).toBe(0);
    expect(two.usage.cachedInputTokens).toBeGreaterThan(held - 12); // the answer at most
    expect(two.text).toBe(await alone(loaded, { messages, images: [first] }));
    messages.push(assistant(two.text), user(LIST, 'image'));
    const three = await ask({ messages, images: [first, second] });
    expect(encoded).toBe(1);
    expect(three.text).toBe(await alone(loaded, { messages, images: [first, second] }));
    const { cachedTokens } = three.stats;
    expect(cachedTokens.vision + cachedTokens.text).toBe(session.contextUsage);
    await session.dispose();
  });

  test('another question about a picture does not encode it again', async () => {
    session = new ChatSession(loaded.model, loaded.processor);
    const [image] = pictures as [RgbImage];
    await ask({ messages: [user(LIST, 'image')], images: [image] });
    const sample = { messages: [user(CENTER, 'image')], images: [image] };
    const { text, usage } = await ask(sample);
    expect([encoded, usage.cachedInputTokens > 16]).toEqual([0, true]);
    expect(text).toBe(await alone(loaded, sample));
    await session.dispose();
  });

  test('another picture is another, in the same buffer too', async () => {
    session = new ChatSession(loaded.model, loaded.processor);
    const [first, second] = pictures as [RgbImage, RgbImage];
    const image = { ...first, data: first.data.slice() };
    const messages = [user(LIST, 'image')];
    await ask({ messages, images: [image] });
    image.data.set(second.data);
    expect((await ask({ messages, images: [image] })).text).toBe(
      await alone(loaded, { messages, images: [second] }),
    );
    expect(encoded).toBe(2);
    await session.dispose();
  });
});

describe('a reply', () => {
  let loaded: Loaded;
  let sample: ProcessorSample;
  let whole: string;
  beforeAll(async () => {
    loaded = await load('llava');
    sample = { messages: [user(LIST, 'image')], images: pictures.slice(0, 1) };
    whole = await alone(loaded, sample, {});
    return () => loaded.model.dispose();
  });
  const open = () => new ChatSession(loaded.model, loaded.processor);

  test('is a promise of the text that its parts make, and ends at a stop text', async () => {
    const session = open();
    const reply = session.reply(sample);
    const parts: string[] = [];
    const held: number[] = [];
    for await (const { text, outputTokens, cachedTokens } of reply) {
      parts.push(text);
      expect(cachedTokens.vision).toBe(36);
      held.push(cachedTokens.vision + cachedTokens.text - outputTokens);
    }
    // A token is cached once the next is asked for.
    const { usage } = await reply;
    expect(held).toEqual(held.map(() => usage.inputTokens - 1));
    expect(parts.length).toBeGreaterThan(3);
    expect(parts.join('')).toBe(whole);
    expect(await reply).toMatchObject({ text: whole, finishReason: 'stop' });
    // Of letters that several tokens spell.
    const stop = [whole.slice(3, 9)];
    const stopped = await session.reply(sample, { stop });
    expect([stopped.text, stopped.finishReason]).toEqual([whole.slice(0, 3), 'stop']);
    const [token] = loaded.processor.tokenizer.encode(',', { addSpecialTokens: false }).slice(-1);
    const atComma = await session.reply(sample, { stopTokenIds: [token!] });
    expect(whole.startsWith(atComma.text)).toBe(true);
    expect(atComma.usage.outputTokens).toBeLessThan(parts.length);
    await session.dispose();
  });

  test('is cut short by `stop`, by leaving the loop and by a signal, in every phase', async () => {
    await expectNoLeak(async () => {
      const session = open();
      const early = session.reply(sample);
      early.stop();
      expect(await early).toMatchObject({ text: '', finishReason: 'abort' });
      const left = session.reply(sample);
      for await (const _ of left) break;
      expect((await left).finishReason).toBe('abort');
      for (const phase of ['before', 'vision', 'prefill', 'decode']) {
        const controller = new AbortController();
        const stop = () => controller.abort(new Error(phase));
        if (phase === 'before') stop();
        const onProgress = (progress: { phase: string }) => progress.phase === phase && stop();
        const { signal } = controller;
        const reply = session.reply(sample, { signal, onProgress });
        const read = async () => {
          for await (const _ of reply) stop();
        };
        await expect(read()).rejects.toThrow(phase);
        await expect(reply).rejects.toThrow(phase);
      }
      expect((await session.reply(sample)).text).toBe(whole);
      await session.dispose();
      loaded.model.decoder.refresh();
    });
  });

  test('waits for the one before it, which disposing stops', async () => {
    const session = open();
    const replies = [session.reply(sample), session.reply(sample)];
    expect((await Promise.all(replies)).map(({ text }) => text)).toEqual([whole, whole]);
    const last = session.reply(sample);
    await session.dispose();
    expect((await last).finishReason).toBe('abort');
  });

  test('that does not fit is refused by its code, and the session goes on', async () => {
    const session = open();
    const long = { messages: [user('word '.repeat(3000), 'image')], images: sample.images };
    await expect(session.reply(long)).rejects.toMatchObject({
      code: 'context-full',
      contextWindow: session.contextWindow,
    });
    expect((await session.reply(sample)).text).toBe(whole);
    await session.dispose();
  });
});
