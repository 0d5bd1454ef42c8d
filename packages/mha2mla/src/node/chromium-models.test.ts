/** Whole models in a page and in a worker, on wasm and on WebGPU: the answers of wasm in Node. */
import { readdirSync, readFileSync } from 'node:fs';
import { memoryStore } from '@mha2mla/checkpoint';
import { describeChromium, fixture } from '@mha2mla/testing';
import { loadModel } from '@mha2mla/vlm-adapters';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { samplesOf } from '../data/question';
import { memoryOutput } from '../output/result-output';
import { decodeImage } from './decode-image';
import { loadQuestions } from './load-data';
import { FAMILIES, openModelFolder } from './open-model';
import type { Answer, Asked } from './testing/page/page';

type Files = Map<string, Uint8Array>;

const PICTURE = 'models/scenes/images/test-006.png';
const QUESTION = 'list all the objects in order.';
const ASKED = { picture: PICTURE, question: QUESTION, maxTokens: 6 };
/** A software adapter compiles each program for a tenth of a second. */
const TIMEOUT_MS = 300_000;

const converted = new Map<string, Files>();

/** A quarter of the cache of the small models with grouped queries; LLaVA's has more heads. */
async function convert(name: string): Promise<Files> {
  await tf.setBackend('wasm');
  const { source, close } = await openModelFolder(fixture(`models/${name}`));
  const processor = await source.family.loadProcessor(source.config, source.store);
  const questions = await loadQuestions(fixture('models/scenes/calibration.jsonl'), 16);
  const calibration = [processor.process(await samplesOf(questions))];
  const output = memoryOutput();
  await convertModel(source, output, { calibration, ropeDim: 8, rank: 8 });
  await close();
  return output.files;
}

/** What a model in files says in Node. */
async function answerHere(files: Files): Promise<Answer> {
  let left = Number.NaN;
  const model = await loadModel(memoryStore(files), {
    families: FAMILIES,
    backend: 'wasm',
    onProgress: ({ loaded, total }) => {
      left = total - loaded;
    },
  });
  expect(left).toBe(0);
  const image = await decodeImage(readFileSync(fixture(PICTURE)), PICTURE);
  const content = [
    { type: 'image' as const, image },
    { type: 'text' as const, text: QUESTION },
  ];
  const { text, finishReason, usage } = await model.chat([{ role: 'user', content }], {
    maxTokens: ASKED.maxTokens,
  });
  await model.dispose();
  const { inputTokens, outputTokens } = usage;
  return { text, inputTokens, outputTokens, finishReason };
}

function filesOf(name: string): Files {
  const folder = fixture(`models/${name}`);
  const read = (file: string) => new Uint8Array(readFileSync(`${folder}/${file}`));
  return new Map(readdirSync(folder).map((file) => [file, read(file)]));
}

const scripts = {
  page: fixture('packages/mha2mla/src/node/testing/page/page.ts'),
  worker: fixture('packages/mha2mla/src/node/testing/page/worker.ts'),
};
const find = (path: string) => {
  const [root, name = '', file = ''] = path.split('/');
  return root === 'converted' ? converted.get(name)?.get(file) : undefined;
};

const RUNS = [
  ['models', 'page', 'wasm'],
  ['converted', 'worker', 'webgpu'],
  ['converted', 'worker', 'wasm'],
] as const;
/** What the others do not need: WebGPU is slow here, and originals are asked on it in Node. */
const FURTHER_RUNS = [
  ['models', 'page', 'webgpu'],
  ['models', 'worker', 'wasm'],
  ['converted', 'page', 'wasm'],
] as const;

describeChromium('a model in a page', { scripts, find }, (page) => {
  test.each(['llava', 'llava_next', 'qwen2_5_vl'])(
    '%s, original and converted, answers as in Node, itself and in a worker',
    async (name) => {
      converted.set(name, await convert(name));
      const expected = {
        models: await answerHere(filesOf(name)),
        converted: await answerHere(converted.get(name)!),
      };
      const runs = name === 'llava' ? [...RUNS, ...FURTHER_RUNS] : RUNS;
      for (const [root, place, backend] of runs) {
        const asked = { place, backend, folder: `${root}/${name}`, ...ASKED };
        const found = await page.call<Answer>('answer', asked satisfies Asked);
        expect(found, `${root} on ${backend} in ${place}`).toEqual(expected[root]);
        expect(found.text).not.toBe('');
      }
    },
    TIMEOUT_MS,
  );

  test('a picture is the same as a file, a bitmap and pixels', async () => {
    const answers = await page.call<string[]>('pictures', { folder: 'models/llava', ...ASKED });
    expect(answers).toEqual(answers.map(() => answers[0]));
    expect(answers).toHaveLength(4);
  });

  test('in a worker, stop and abort are heard at once, and errors are whole', async () => {
    const found = await page.call('giveUp', { folder: 'models/llava', ...ASKED });
    expect(found).toEqual({
      left: 'abort',
      aborted: { vision: true, prefill: true, decode: true },
      full: { name: 'ContextFullError', code: 'context-full' },
      file: { name: 'ModelError', code: 'bad-image', cause: 'InvalidStateError' },
      missing: { name: 'ModelError', code: 'worker-failed', hint: true },
      after: 'stop',
    });
  });
});
