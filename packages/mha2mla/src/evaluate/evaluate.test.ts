import { memoryStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { describeBackends, expectNoLeak, fixture } from '@mha2mla/testing';
import {
  llava,
  type ModelInputs,
  openVlm,
  type Processor,
  VisionLanguageModel,
  type VlmSource,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { answeredBatch } from '../data/answered-batch';
import type { Question } from '../data/question';
import { loadQuestions } from '../node/load-data';
import { memoryOutput } from '../output/result-output';
import { traceModel } from '../trace/trace-model';
import { type Evaluation, evaluate } from './evaluate';
import { logLikelihood } from './log-likelihood';
import { scoreAnswer } from './metric';
import { withoutLastToken } from './without-last-token';

describe('exact match', () => {
  test.each<[string, string[], number]>([
    ['cup', ['cup'], 1],
    [' cup\n', ['cup'], 1],
    ['cup', [' cup '], 1],
    ['mug', ['cup', 'mug'], 1],
    ['Cup', ['cup'], 0],
    ['a cup', ['cup', 'mug'], 0],
    ['', ['cup'], 0],
    ['', [''], 1],
  ])('%j against %j is %i', (answer, accepted, score) => {
    expect(scoreAnswer(answer, accepted)).toBe(score);
  });
});

test('the log-likelihood of a token is that of the softmax, for large logits too', () => {
  const logits = Float32Array.of(1000, 1000 + Math.log(2), Number.NEGATIVE_INFINITY);
  expect(logLikelihood(logits, 0)).toBeCloseTo(Math.log(1 / 3), 4); // float32 logits of size 1000
  expect(logLikelihood(logits, 1)).toBeCloseTo(Math.log(2 / 3), 4);
  expect(logLikelihood(logits, 2)).toBe(Number.NEGATIVE_INFINITY);
});

test('the last token is cut off every row', () => {
  const inputs: ModelInputs = {
    batch: 2,
    length: 3,
    inputIds: Int32Array.of(0, 5, 6, 7, 8, 9),
    attentionMask: Int32Array.of(0, 1, 1, 1, 1, 1),
  };
  expect(withoutLastToken(inputs)).toEqual({
    head: {
      batch: 2,
      length: 2,
      inputIds: Int32Array.of(0, 5, 7, 8),
      attentionMask: Int32Array.of(0, 1, 1, 1),
    },
    lastTokens: Int32Array.of(6, 9),
  });
});

describe('evaluate', () => {
  let source: VlmSource;
  let model: VisionLanguageModel;
  let processor: Processor;
  let questions: Question[];

  beforeAll(async () => {
    await tf.setBackend('wasm');
    source = await openVlm(await nodeStore(fixture('models/llava')), { families: [llava] });
    model = await VisionLanguageModel.load(source);
    processor = await llava.loadProcessor(source.config, source.store);
    const all = await loadQuestions(fixture('models/scenes/test.jsonl'), 40);
    // Of all lengths: single words, lists, and one with two accepted answers.
    questions = [0, 1, 4, 9, 23, 36].map((index) => all[index]!);
    questions[2] = { ...questions[2]!, answers: [...questions[2]!.answers, 'something else'] };
  });
  afterAll(async () => {
    model.dispose();
    await source.store.close?.();
  });

  const ask = (options?: Parameters<typeof evaluate>[3], of = questions) =>
    evaluate(model, processor, of, options);

  test('greedy answers are those of generate', async () => {
    const { answers } = await ask();
    for (const [i, { messages, loadMedia }] of questions.entries()) {
      const inputs = processor.process([{ messages, ...(await loadMedia()) }]);
      const ids: number[] = [];
      for await (const { tokens } of model.generate(inputs, { maxTokens: 32 })) {
        ids.push(tokens[0]!);
      }
      expect(answers[i]).toBe(processor.tokenizer.decode(ids, { skipSpecialTokens: true }));
    }
  });

  test('the size of a batch changes no answer', async () => {
    const whole = await ask({ batchSize: 6 });
    for (const batchSize of [1, 4]) {
      const { nll, cacheBytesAllocated, ...parts } = await ask({ batchSize });
      expect(parts).toEqual({
        questions: 6,
        accuracy: whole.accuracy,
        accuracyByKind: whole.accuracyByKind,
        answers: whole.answers,
      });
      // Rows are padded to other lengths: float32 sums of another order.
      expect(Math.abs(nll - whole.nll)).toBeLessThan(1e-5);
      expect(cacheBytesAllocated).toBeLessThan(whole.cacheBytesAllocated);
    }
  });

  test("the answers' likelihood is that of one pass over prompts and answers", async () => {
    const { inputs, predicting, labels } = await answeredBatch(processor, questions);
    const { values, shape } = (await traceModel(model, inputs)).get('logits')!;
    const width = shape[2]!;
    const sum = [...predicting].reduce((total, position, i) => {
      const logits = values.subarray(position * width, (position + 1) * width) as Float32Array;
      return total - logLikelihood(logits, labels[i]!);
    }, 0);
    expect(Math.abs((await ask()).nll - sum / labels.length)).toBeLessThan(1e-4);
  });

  test('accuracy is told in all and by kind', async () => {
    const known = (await ask()).answers;
    const asked = questions.map((question, i): Question => {
      const answers = i % 3 === 0 ? ['something else'] : ['no', known[i]!.trim()];
      const { kind: _, ...rest } = question;
      return i < 2 ? { ...rest, answers } : { ...rest, answers, kind: i < 5 ? 'b' : '__proto__' };
    });
    const { questions: count, accuracy, accuracyByKind } = await ask({}, asked);
    expect([count, accuracy]).toEqual([6, 4 / 6]);
    expect(Object.entries(accuracyByKind)).toEqual([
      ['__proto__', 1],
      ['all', 1 / 2],
      ['b', 2 / 3],
    ]);
  });

  test('an answer ends at the most tokens that it may have', async () => {
    const whole = (await ask()).answers;
    const { answers } = await ask({ maxTokens: 2 });
    for (const [i, answer] of answers.entries()) {
      expect(whole[i]!.startsWith(answer)).toBe(true);
      expect(processor.tokenizer.encode(answer).length).toBeLessThan(6);
    }
    // One of the questions asks for a list.
    expect(answers).not.toEqual(whole);
  });

  test('an abort is heard in a batch and between two, and leaves nothing behind', () =>
    expectNoLeak(async () => {
      await ask({ batchSize: 2 });
      const between = new AbortController();
      const seen: number[] = [];
      const run = ask({
        batchSize: 2,
        signal: between.signal,
        onProgress: ({ loaded, total }) => {
          expect(total).toBe(6);
          seen.push(loaded);
          if (loaded === 4) between.abort(new Error('enough'));
        },
      });
      await expect(run).rejects.toThrow('enough');
      expect(seen).toEqual([2, 4]);
      const within = new AbortController();
      setTimeout(() => within.abort(new Error('too late')));
      await expect(ask({ signal: within.signal })).rejects.toThrow('too late');
      await expect(ask({ signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
      await expect(ask({}, [])).rejects.toThrow('expected questions, got none');
      await expect(ask({ batchSize: 0 })).rejects.toThrow(/batchSize must be .* got 0/);
      await expect(ask({ maxTokens: 1.5 })).rejects.toThrow(/maxTokens must be .* got 1.5/);
    }));

  test('a cache that cannot be leaves nothing behind', () =>
    expectNoLeak(async () => {
      // Keys and values of an original model are not kept apart by modality.
      const cache = { kvBits: { vision: 4, text: 8 } } as const;
      await expect(ask({ cache })).rejects.toThrow(/kvBits must be one number/);
    }));

  test('a quantized latent cache takes the bytes that it should, and is what is scored', async () => {
    const output = memoryOutput();
    await convertModel(source, output, { strategy: 'high', rank: 16, init: 'weights' });
    const small = await openVlm(memoryStore(output.files), { families: [llava] });
    const converted = await VisionLanguageModel.load(small);
    const results = new Map<number, Evaluation>();
    for (const kvBits of [16, 8, 4] as const) {
      const cache = { kvBits, ropeBits: 16 } as const;
      results.set(kvBits, await evaluate(converted, processor, questions, { cache }));
    }
    const exact = await evaluate(converted, processor, questions);
    converted.dispose();
    const bytes = (bits: number) => results.get(bits)!.cacheBytesAllocated;
    const tokens = exact.cacheBytesAllocated / (4 * 4 * 6 * (8 + 16)); // layers, f32, heads
    // Rotary keys at 16 bits; latents of 96, and for each 32 of them a scale and a zero point.
    expect(bytes(16)).toBe(tokens * 4 * 2 * (6 * 8 + 96));
    expect(bytes(8)).toBe(tokens * 4 * (2 * 6 * 8 + 96 + 3 * 4));
    expect(bytes(4)).toBe(tokens * 4 * (2 * 6 * 8 + 48 + 3 * 4));
    expect(Math.abs(results.get(16)!.nll - exact.nll)).toBeLessThan(1e-2);
    expect(new Set([...results.values()].map(({ nll }) => nll)).size).toBe(3);
  });
});

describeBackends('evaluate in short', () => {
  test('answers as the picture has it', async () => {
    const source = await openVlm(await nodeStore(fixture('models/llava')), { families: [llava] });
    const processor = await llava.loadProcessor(source.config, source.store);
    const questions = await loadQuestions(fixture('models/scenes/test.jsonl'), 2);
    const model = await VisionLanguageModel.load(source);
    const evaluation = await evaluate(model, processor, questions);
    model.dispose();
    await source.store.close?.();
    expect(evaluation.answers).toEqual([' car', ' yellow']);
    expect(evaluation.nll).toBeGreaterThan(0);
    expect(evaluation.nll).toBeLessThan(0.1);
  });
});
