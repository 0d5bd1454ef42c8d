/** Whole models on webgpu, by the ops that every backend has: the tokens and logits of wasm. */
import { argMax, prefillStep, RecordedDecode, readValues } from '@mha2mla/mla-runtime';
import { describeWebGpu, expectClose, fixture } from '@mha2mla/testing';
import {
  type ModelInputs,
  prepareInputs,
  VisionLanguageModel,
  type VlmSource,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { goldenInputs } from '../trace/testing/golden-inputs';
import { openModelFolder } from './open-model';

const PUBLISHED = 'fixtures/hf/qwen2_5_vl/mha2mla/converted_checkpoint';

/** Greedy tokens of an answer, and the logits that chose each. */
async function answer(source: VlmSource, inputs: ModelInputs, backend: string, recorded = false) {
  await tf.setBackend(backend);
  const model = await VisionLanguageModel.load(source);
  const tokens: number[] = [];
  const logits: number[] = [];
  for await (const step of model.generate(inputs, { maxTokens: 4, eosTokenIds: [], recorded })) {
    tokens.push(...step.tokens);
    logits.push(...step.logits);
  }
  model.dispose();
  return { tokens, logits };
}

async function expectSame(source: VlmSource, inputs: ModelInputs, recorded = false) {
  const expected = await answer(source, inputs, 'wasm');
  const found = await answer(source, inputs, 'webgpu', recorded);
  expect(found.tokens).toEqual(expected.tokens);
  // Float32 sums in another order, through up to 8 layers; logits have a deviation of 2 to 8.
  expectClose(found.logits, expected.logits, { abs: 2e-4 });
  return expected;
}

/** The same by recorded steps; of a model that caches latents. */
async function recordedAnswer(source: VlmSource, inputs: ModelInputs) {
  const model = await VisionLanguageModel.load(source);
  const { decoder } = model;
  const { layout, positionIds, nextPositions } = prepareInputs(model.family, model.config, inputs);
  const embedded = model.embed(inputs);
  const prompt = prefillStep(layout, positionIds, decoder.config);
  const cache = decoder.createCache(1);
  const hidden = await decoder.prefill(embedded, prompt, { cache });
  const all = decoder.logits(hidden);
  const logits = [...(await readValues(all)).slice(-decoder.config.vocabSize)];
  const tokens = [argMax(Float32Array.from(logits))];
  const recorded = await RecordedDecode.record(decoder, cache);
  for (let i = 0; i < 3; i++) {
    const axes = decoder.config.mropeSection ? 3 : 1;
    const positions = new Int32Array(axes).fill(nextPositions[0]! + i);
    tokens.push(await recorded.step(positions, tokens[i]!));
    logits.push(...(await recorded.logits()));
  }
  tf.dispose([embedded, hidden, all]);
  for (const part of [prompt, cache, recorded, model]) part.dispose();
  return { tokens, logits };
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
    'a model that the reference has converted, op by op and recorded',
    async () => {
      const { source, close } = await openModelFolder(fixture(PUBLISHED));
      const inputs = await goldenInputs('qwen2_5_vl', 'p0');
      const expected = await expectSame(source, inputs);
      await expectSame(source, inputs, true);
      const recorded = await recordedAnswer(source, inputs);
      expect(recorded.tokens).toEqual(expected.tokens);
      expectClose(recorded.logits, expected.logits, { abs: 2e-4 });
      await close();
    },
    TIMEOUT_MS,
  );
});
