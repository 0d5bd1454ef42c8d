/** A page that answers with models, itself and by a worker, for chromium-models.test.ts. */
import {
  type ChatImage,
  type ChatMessage,
  connectModel,
  llava,
  llavaNext,
  loadModel,
  type Model,
  qwen25Vl,
} from '@mha2mla/vlm-adapters';
import { registerBackends } from './backends';

export interface Question {
  /** Below the server's root, as the picture. */
  folder: string;
  picture: string;
  question: string;
  maxTokens: number;
}

export interface Asked extends Question {
  place: 'page' | 'worker';
  backend: 'wasm' | 'webgpu';
}

export interface Answer {
  text: string;
  inputTokens: number;
  outputTokens: number;
  finishReason: string;
}

const registered = registerBackends();
let worker: Worker | undefined;

async function open({ place, backend, folder }: Asked): Promise<Model> {
  await registered;
  const source = new URL(folder, location.href).href;
  const families = [llava, llavaNext, qwen25Vl];
  if (place === 'page') return loadModel(source, { families, backend });
  worker ??= new Worker('/worker.js', { type: 'module' });
  return connectModel(worker, source, { backend });
}

const blobOf = async (path: string) => (await fetch(path)).blob();

function ask(image: ChatImage, question: string): ChatMessage[] {
  const text = { type: 'text' as const, text: question };
  return [{ role: 'user', content: [{ type: 'image', image }, text] }];
}

async function answer(asked: Asked): Promise<Answer> {
  const model = await open(asked);
  const messages = ask(await blobOf(asked.picture), asked.question);
  const reply = model.chat(messages, { maxTokens: asked.maxTokens });
  let text = '';
  for await (const part of reply) text += part.text;
  const { usage, finishReason } = await reply;
  await model.dispose();
  const { inputTokens, outputTokens } = usage;
  return { text, inputTokens, outputTokens, finishReason };
}

/** Answers about one picture as a file, a bitmap, pixels, and a bitmap in the page itself. */
async function pictures(asked: Question): Promise<string[]> {
  const blob = await blobOf(asked.picture);
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d')!;
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const texts: string[] = [];
  for (const [place, images] of [
    ['worker', [new File([blob], 'a.png'), bitmap, { data, width, height }]],
    ['page', [bitmap]],
  ] as const) {
    const model = await open({ ...asked, place, backend: 'wasm' });
    for (const image of images) {
      const { text } = await model.chat(ask(image, asked.question), { maxTokens: asked.maxTokens });
      texts.push(text);
    }
    await model.dispose();
  }
  return texts;
}

/** How requests to a worker end that are given up or fail. */
async function giveUp(asked: Question) {
  const model = await open({ ...asked, place: 'worker', backend: 'wasm' });
  const blob = await blobOf(asked.picture);
  const messages = ask(blob, asked.question);
  const aborted: Record<string, boolean> = {};
  for (const phase of ['vision', 'prefill', 'decode']) {
    // Another beginning, so that the picture is encoded again.
    await model.chat([{ role: 'user', content: phase }], { maxTokens: 1 });
    const controller = new AbortController();
    const reason = new Error(phase);
    const { signal } = controller;
    const onProgress = (now: { phase: string }) => now.phase === phase && controller.abort(reason);
    const reply = model.chat(messages, { signal, onProgress });
    const read = async () => {
      for await (const _ of reply) controller.abort(reason);
    };
    aborted[phase] = (await read().catch((error) => error)) === reason;
  }
  const left = model.chat(messages);
  for await (const _ of left) break;
  const full = await failure(model.chat(ask(blob, 'word '.repeat(3000))));
  const cut = blob.slice(0, 64);
  const file = await failure(model.chat(ask(cut, asked.question)));
  const gone = new Worker('/gone.js', { type: 'module' });
  const missing = await failure(connectModel(gone, location.href));
  const after = await model.chat(messages);
  await model.dispose();
  return {
    left: (await left).finishReason,
    aborted,
    full: { name: full.name, code: full.code },
    file: { name: file.name, code: file.code, cause: (file.cause as Error).name },
    missing: { name: missing.name, code: missing.code, hint: missing.message.includes('reload') },
    after: after.finishReason,
  };
}

const failure = (promise: PromiseLike<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('it must fail')),
    (error) => error as Error & { code?: string },
  );

Object.assign(globalThis, { answer, pictures, giveUp });
