/** Conversations with a converted model, over latents as they are and quantized; on webgpu recorded. */
import { memoryStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import type { CacheOptions } from '@mha2mla/mla-runtime';
import { describeWebGpu, expectNoLeak, fixture } from '@mha2mla/testing';
import {
  ChatSession,
  llava,
  type Message,
  openVlm,
  type Processor,
  type ReplyOptions,
  type RgbImage,
  VisionLanguageModel,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { memoryOutput } from '../output/result-output';
import { readPicture } from './load-data';

const LIST = 'list all the objects in order.';
const CENTER = 'what is in the middle center?';
const OPTIONS: ReplyOptions = { maxTokens: 6 };
/** Compiling the programs of a session takes a software adapter seconds. */
const TIMEOUT_MS = 300_000;

const CACHES: [string, CacheOptions | undefined][] = [
  ['f32', undefined],
  ['8 bits, and a window of exact tokens', { kvBits: 8, residualLength: 6 }],
  ['4 bits of vision, 8 of text', { kvBits: { vision: 4, text: 8 } }],
];

let store: ReturnType<typeof memoryStore>;
let processor: Processor;
let image: RgbImage;

beforeAll(async () => {
  await tf.setBackend('wasm');
  const source = await openVlm(await nodeStore(fixture('models/llava')), { families: [llava] });
  const output = memoryOutput();
  await convertModel(source, output, { strategy: 'high', rank: 16, init: 'weights' });
  store = memoryStore(output.files);
  processor = await llava.loadProcessor(source.config, source.store);
  await source.store.close?.();
  image = await readPicture(fixture('models/scenes/images/test-000.png'));
}, TIMEOUT_MS);

const user = (text: string, hasImage = false): Message => ({
  role: 'user',
  content: [...(hasImage ? [{ type: 'image' } as const] : []), { type: 'text', text }],
});
const assistant = (text: string): Message => ({
  role: 'assistant',
  content: [{ type: 'text', text }],
});

const load = async () => VisionLanguageModel.load(await openVlm(store, { families: [llava] }));

/** Two turns about a picture, then another question in the place of the second. */
async function converse(model: VisionLanguageModel, cache?: CacheOptions) {
  const session = new ChatSession(model, processor, { cache });
  const ask = async (messages: Message[]) => {
    const { text, usage, stats } = await session.reply({ messages, images: [image] }, OPTIONS);
    const { cachedTokens, decodedBy, cacheBytesAllocated } = stats;
    expect(cachedTokens.vision + cachedTokens.text).toBe(session.contextUsage);
    return { text, usage, decodedBy, cacheBytesAllocated };
  };
  const first = user(LIST, true);
  const one = await ask([first]);
  const said = [first, assistant(one.text)];
  const two = await ask([...said, user(CENTER)]);
  const three = await ask([...said, user(LIST)]);
  await session.dispose();
  return [one, two, three];
}

async function converseOn(backend: string, cache?: CacheOptions) {
  await tf.setBackend(backend);
  const model = await load();
  const turns = await converse(model, cache);
  model.dispose();
  return turns;
}

type Turns = Awaited<ReturnType<typeof converse>>;

const saidIn = (turns: Turns) => turns.map(({ text, usage }) => ({ text, usage }));

describe('a conversation with a converted model [wasm]', () => {
  test.each(CACHES)('goes on over its cache and leaves nothing behind: %s', async (_, cache) => {
    await expectNoLeak(async () => {
      const model = await load();
      const turns = await converse(model, cache);
      const [one, two, three] = turns.map(({ usage }) => usage);
      expect(one!.cachedInputTokens).toBe(0);
      for (const later of [two!, three!]) {
        expect(later.cachedInputTokens).toBeGreaterThanOrEqual(one!.inputTokens);
      }
      expect(new Set(turns.map(({ decodedBy }) => decodedBy))).toEqual(new Set(['composed']));
      expect(saidIn(await converse(model, cache))).toEqual(saidIn(turns));
      if (!cache) {
        const session = new ChatSession(model, processor);
        const messages = [user(LIST, true), assistant(turns[0]!.text), user(CENTER)];
        const { text } = await session.reply({ messages, images: [image] }, OPTIONS);
        expect(text).toBe(turns[1]!.text);
        await session.dispose();
      }
      model.dispose();
    });
  });
});

describeWebGpu('a conversation with a converted model', () => {
  test.each(CACHES)(
    'is recorded, and says and holds what it does op by op, on wasm: %s',
    async (_, cache) => {
      const [composed, turns] = [
        await converseOn('wasm', cache),
        await converseOn('webgpu', cache),
      ];
      expect(new Set(turns.map(({ decodedBy }) => decodedBy))).toEqual(new Set(['recorded']));
      expect(new Set(composed.map(({ decodedBy }) => decodedBy))).toEqual(new Set(['composed']));
      expect(saidIn(turns)).toEqual(saidIn(composed));
      const bytes = (all: Turns) => all.map((turn) => turn.cacheBytesAllocated);
      expect(bytes(turns)).toEqual(bytes(composed));
    },
    TIMEOUT_MS,
  );
});
