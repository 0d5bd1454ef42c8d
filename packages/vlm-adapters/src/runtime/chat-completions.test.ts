import { readFileSync } from 'node:fs';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture } from '@mha2mla/testing';
import '@tensorflow/tfjs-backend-wasm';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { llava } from '../llava/llava-family';
import { chatCompletions } from './chat-completions';
import type { DecodeImage } from './chat-message';
import type { CompletionRequest } from './completion-request';
import { loadModel } from './load-model';
import type { Model } from './model';

const decodeImage: DecodeImage = async (file) => {
  const bytes = new Uint8Array(await (file as Blob).arrayBuffer());
  const raw = sharp(bytes).removeAlpha().raw();
  const { data, info } = await raw.toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
};

let model: Model;
let create: ReturnType<typeof chatCompletions>['chat']['completions']['create'];
let request: CompletionRequest;
beforeAll(async () => {
  const store = await nodeStore(fixture('models/llava'));
  model = await loadModel(store, { families: [llava], backend: 'wasm', decodeImage });
  await store.close?.();
  create = chatCompletions(model).chat.completions.create;
  const png = btoa(
    String.fromCharCode(...readFileSync(fixture('models/scenes/images/test-000.png'))),
  );
  const content = [
    { type: 'image_url' as const, image_url: { url: `data:image/png;base64,${png}` } },
    { type: 'text' as const, text: 'list all the objects in order.' },
  ];
  request = { model: 'any', messages: [{ role: 'user', content }] };
});
afterAll(() => model.dispose());

test('an answer at once and one in chunks are the same, usage in the last', async () => {
  const whole = await create({ ...request, stream: false });
  expect(whole).toMatchObject({
    object: 'chat.completion',
    model: 'any',
    choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'stop' }],
  });
  const { prompt_tokens, completion_tokens, total_tokens } = whole.usage;
  expect(total_tokens).toBe(prompt_tokens + completion_tokens);
  for (const include_usage of [false, true]) {
    const chunks = [];
    const asked = { ...request, stream: true as const, stream_options: { include_usage } };
    for await (const chunk of await create(asked)) chunks.push(chunk);
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(chunks[0]!.choices[0]!.delta.role).toBe('assistant');
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.filter((chunk) => 'usage' in chunk)).toEqual([chunks.at(-1)]);
    expect(chunks.at(-1)).toMatchObject({ usage: { total_tokens } });
    const last = chunks.filter(({ choices }) => choices.length > 0).at(-1);
    expect(last!.choices[0]!.finish_reason).toBe('stop');
  }
});

test('parameters are heeded, or refused by name', async () => {
  const short = await create({ ...request, max_tokens: 2, temperature: null });
  expect([short.choices[0]!.finish_reason, short.usage.completion_tokens]).toEqual(['length', 2]);
  const whole = (await create(request)).choices[0]!.message.content;
  const stopped = await create({ ...request, stop: whole.slice(3, 6) });
  expect(stopped.choices[0]!.message.content).toBe(whole.slice(0, 3));
  const tools = { ...request, tools: [] };
  await expect(create(tools)).rejects.toMatchObject({ code: 'bad-request', message: /tools/ });
  const image_url = { url: 'https://example.org/cat.png' };
  const messages = [{ role: 'user', content: [{ type: 'image_url' as const, image_url }] }];
  await expect(create({ messages })).rejects.toMatchObject({ code: 'bad-request' });
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(create(request, { signal })).rejects.toThrow('enough');
});
