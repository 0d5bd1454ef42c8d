/** Whole models on webgpu, by the ops that every backend has: the tokens and logits of wasm. */
import { describeWebGpu, expectClose, fixture } from '@mha2mla/testing';
import { type ModelInputs, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { goldenInputs } from '../trace/testing/golden-inputs';
import { openModelFolder } from './open-model';

const PUBLISHED = 'fixtures/hf/qwen2_5_vl/mha2mla/converted_checkpoint';

/** Greedy tokens of an answer, and the logits that chose each. */
async function answer(source: VlmSource, inputs: ModelInputs, backend: string) {
  await tf.setBackend(backend);
  const model = await VisionLanguageModel.load(source);
  const tokens: number[] = [];
  const logits: number[] = [];
  for await (const step of model.generate(inputs, { maxTokens: 4, eosTokenIds: [] })) {
    tokens.push(...step.tokens);
    logits.push(...step.logits);
  }
  model.dispose();
  return { tokens, logits };
}

async function expectSame(source: VlmSource, inputs: ModelInputs): Promise<void> {
  const expected = await answer(source, inputs, 'wasm');
  const found = await answer(source, inputs, 'webgpu');
  expect(found.tokens).toEqual(expected.tokens);
  // Float32 sums in another order, through up to 8 layers; logits have a deviation of 2 to 8.
  expectClose(found.logits, expected.logits, { abs: 2e-4 });
}

/** A software adapter compiles each program for a tenth of a second. */
const TIMEOUT_MS = 300_000;

describeWebGpu('a whole model equals wasm', () => {
  test.each(['llava', 'llava_next', 'qwen2_5_vl'])(
    'fixture %s',
    async (family) => {
      const { source, close } = await openModelFolder(fixture(`fixtures/hf/${family}/checkpoint`));
      await expectSame(source, await goldenInputs(family, 'p0'));
      await close();
    },
    TIMEOUT_MS,
  );

  test(
    'a model that the reference has converted',
    async () => {
      const { source, close } = await openModelFolder(fixture(PUBLISHED));
      await expectSame(source, await goldenInputs('qwen2_5_vl', 'p0'));
      await close();
    },
    TIMEOUT_MS,
  );
});
