/** The small trained models, as they are and converted, say on webgpu what they say on wasm. */
import { memoryStore } from '@mha2mla/checkpoint';
import type { CacheOptions, DecodedBy } from '@mha2mla/mla-runtime';
import { describeWebGpu, fixture } from '@mha2mla/testing';
import {
  type ModelInputs,
  openVlm,
  VisionLanguageModel,
  type VlmSource,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { samplesOf } from '../data/question';
import { memoryOutput } from '../output/result-output';
import { loadQuestions } from './load-data';
import { FAMILIES, openModelFolder } from './open-model';

const KINDS = ['list', 'color'];
/** Compiling the programs of a model takes a software adapter seconds, and minutes where it is busy. */
const TIMEOUT_MS = 600_000;

interface Said {
  /** Of each step, of each question. */
  tokens: number[][];
  decodedBy?: DecodedBy;
}

/** A question of each kind as one batch, as the model's processor gives it. */
async function questionsFor(source: VlmSource): Promise<ModelInputs> {
  const all = await loadQuestions(fixture('models/scenes/test.jsonl'));
  const processor = await source.family.loadProcessor(source.config, source.store);
  const asked = KINDS.map((own) => all.find(({ kind }) => kind === own)!);
  return processor.process(await samplesOf(asked));
}

/** Greedy answers, on the current backend. */
async function answers(
  model: VisionLanguageModel,
  inputs: ModelInputs,
  cache?: CacheOptions,
): Promise<Said> {
  const said: Said = { tokens: [] };
  for await (const { tokens, decodedBy } of model.generate(inputs, { maxTokens: 6, cache })) {
    said.tokens.push([...tokens]);
    said.decodedBy = decodedBy;
  }
  return said;
}

async function expectSame(source: VlmSource, inputs: ModelInputs, cache?: CacheOptions) {
  const found: Said[] = [];
  for (const backend of ['wasm', 'webgpu']) {
    await tf.setBackend(backend);
    const model = await VisionLanguageModel.load(source);
    found.push(await answers(model, inputs, cache));
    model.dispose();
  }
  const [wasm, webgpu] = found as [Said, Said];
  expect(webgpu.tokens).toEqual(wasm.tokens);
  expect(webgpu.decodedBy).toBe('recorded');
}

describeWebGpu('a small trained model says what it says on wasm', () => {
  test.each(['llava', 'llava_next', 'qwen2_5_vl'])(
    '%s, original and converted, the latter over 4 bits',
    async (folder) => {
      const { source, close } = await openModelFolder(fixture(`models/${folder}`));
      const questions = await questionsFor(source);
      await expectSame(source, questions);
      await tf.setBackend('wasm');
      const output = memoryOutput();
      await convertModel(source, output, { strategy: 'high', rank: 16, init: 'weights' });
      const converted = await openVlm(memoryStore(output.files), { families: FAMILIES });
      await expectSame(converted, questions, { kvBits: 4, residualLength: 6 });
      await close();
    },
    TIMEOUT_MS,
  );
});
