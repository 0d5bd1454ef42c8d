/** Conversion by a budget of cache bytes: what it buys, that it is kept to, and how it goes on. */
import { memoryStore } from '@mha2mla/checkpoint';
import { type CacheOptions, cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { describeBackends, expectClose, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import { describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { traceModel } from '../trace/trace-model';
import { type ConvertRunOptions, convertModel } from './convert-model';
import type { ConvertOptions } from './convert-options';
import { planConversion } from './plan-conversion';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const calibration = [tinyInputs(1), tinyInputs(2)];
const source = await openTinyLlava({ kvHeads: 2, bias: true });
const { decoder: config } = source.config; // 2 KV heads of 8 dims: 64 bytes a layer
const wide = { ...config, headDim: 64, hiddenSize: 512 };

describe('what a budget buys', () => {
  const bought = (options: ConvertOptions, of = wide) => {
    const { ropeDim, rank } = planConversion(of, options);
    return { ropeDim, rank };
  };

  test.each<[ConvertOptions, { ropeDim: number; rank: number }]>([
    // A KV head has 128 values; a quarter of the head is 16 of them.
    [{ kvBudget: 0.25 }, { ropeDim: 16, rank: 16 }],
    [{ kvBudget: 0.375 }, { ropeDim: 16, rank: 32 }],
    [{ kvBudget: 1 }, { ropeDim: 16, rank: 112 }],
    // Rotary keys take no more than half, but where they are asked for.
    [{ kvBudget: 0.125 }, { ropeDim: 8, rank: 8 }],
    [
      { kvBudget: 0.125, ropeDim: 12 },
      { ropeDim: 12, rank: 4 },
    ],
    [{ kvBudget: 0.05 }, { ropeDim: 2, rank: 4 }],
    [
      { kvBudget: 0.1, strategy: 'uniform', ropeDim: undefined },
      { ropeDim: 4, rank: 8 },
    ],
    // Keys and values each.
    [
      { kvBudget: 0.25, factor: 'split' },
      { ropeDim: 16, rank: 8 },
    ],
    // Values as they are, 64.
    [
      { kvBudget: 0.75, factor: 'key' },
      { ropeDim: 16, rank: 16 },
    ],
    [
      { kvBudget: 0.25, groups: 2 },
      { ropeDim: 16, rank: 16 },
    ],
    [
      { kvBudget: 0.25, decouple: false },
      { ropeDim: 16, rank: 16 },
    ],
  ])('%o: %o', (options, expected) => {
    expect(bought(options)).toEqual(expected);
  });

  test.each<[ConvertOptions, 'uniform' | 'measured']>([
    [{ kvBudget: 0.375 }, 'measured'],
    [{ kvBudget: 0.38 }, 'uniform'],
    [{ kvBudget: 0.25, ropeDim: 16 }, 'uniform'],
    [{ kvBudget: 0.38, allocation: 'measured' }, 'measured'],
    [{ kvBudget: 0.25, allocation: 'uniform' }, 'uniform'],
    [{ kvBudget: 0.25, strategy: 'high', init: 'weights' }, 'uniform'],
    [{ kvBudget: 0.25, layout: 'reference' }, 'uniform'],
    [{ rank: 4 }, 'uniform'],
  ])('%o is shared out %s', (options, expected) => {
    expect(planConversion(wide, options).allocation).toBe(expected);
  });

  test('with a KV head for each head measuring starts at lower budgets', () => {
    const whole = { ...wide, numKeyValueHeads: wide.numAttentionHeads };
    expect(planConversion(whole, { kvBudget: 0.25 }).allocation).toBe('uniform');
    expect(planConversion(whole, { kvBudget: 0.15 }).allocation).toBe('measured');
  });

  test('measuring needs samples, whatever the factors need', () => {
    const weights = { kvBudget: 0.25, strategy: 'high', init: 'weights' } as const;
    expect(planConversion(wide, weights).needsCalibration).toBe(false);
    const measured = planConversion(wide, { ...weights, allocation: 'measured' });
    expect(measured.needsCalibration).toBe(true);
  });

  test.each<CacheOptions>([
    { kvBits: 4 },
    { kvBits: { vision: 4, text: 8 }, ropeBits: 16 },
    { kvBits: 8, groupSize: 16 },
    { kvBits: 4, layers: { 1: { kvBits: 16 } } },
  ])('bits %o are counted', (cache) => {
    const plan = planConversion(wide, { kvBudget: 0.125, cache });
    const exact = planConversion(wide, { kvBudget: 0.125 });
    expect(plan.rank).toBeGreaterThan(exact.rank!);
  });

  test.each<[string, ConvertOptions, RegExp]>([
    ['0', { kvBudget: 0 }, /above 0 and at most 1, got 0/],
    ['more than there is', { kvBudget: 1.5 }, /above 0 and at most 1, got 1.5/],
    ['NaN', { kvBudget: Number.NaN }, /got NaN/],
    ['beside a rank', { kvBudget: 0.5, rank: 4 }, /kvBudget chooses the ranks .* got rank=4, too/],
    ['without latents', { kvBudget: 0.5, factor: 'none' }, /got factor none, too/],
    [
      'too small',
      { kvBudget: 0.01 },
      /must leave a rank .* got 0\.0.*\. The smallest .* is 0.0313/,
    ],
    ['too small for its rotary keys', { kvBudget: 0.2, ropeDim: 32 }, /smallest .* is 0.2579/],
    ['too small for whole values', { kvBudget: 0.25, factor: 'key' }, /smallest .* is 0.5235/],
  ])('%s is refused', (_, options, message) => {
    expect(() => planConversion(wide, options)).toThrow(RangeError);
    expect(() => planConversion(wide, options)).toThrow(message);
    const least = /smallest .* is ([\d.]*\d)/.exec(message.source)?.[1];
    if (least === undefined) return;
    expect(bought({ ...options, kvBudget: Number(least) }).rank).toBeGreaterThanOrEqual(1);
    expect(() => bought({ ...options, kvBudget: Number(least) - 1e-4 })).toThrow(message);
  });
});

const prompts = tinyInputs(3, 2);

async function convert(options: ConvertRunOptions, of = source) {
  const output = memoryOutput();
  const report = await convertModel(of, output, { calibration, ...options });
  const model = await openVlm(memoryStore(output.files), { families: [llava] });
  return { report, model, files: output.files };
}

async function logits(model: VlmSource, attention: 'naive' | 'absorbed') {
  const loaded = await VisionLanguageModel.load(model);
  const trace = await traceModel(loaded, prompts, { attention });
  loaded.dispose();
  const { values, shape } = trace.get('logits')!;
  return (values as Float32Array).filter(
    (_, i) => prompts.attentionMask[Math.floor(i / shape[2]!)] === 1,
  );
}

describeBackends('a conversion by budget', () => {
  const measured = { kvBudget: 0.3, allocation: 'measured' } as const;
  test.each<[string, ConvertRunOptions]>([
    ['joint', {}],
    ['groups', { groups: 2 }],
    ['split', { factor: 'split', kvBudget: 0.5 }],
    ['one latent for both modalities', { decouple: false }],
    ['factors of the weights', { init: 'weights' }],
    ['one rank', { allocation: 'uniform', kvBudget: 0.375 }],
    ['bits', { cache: { kvBits: 8, ropeBits: 16, groupSize: 4 } }],
  ])('%s: the model takes the bytes that were bought, and no more', async (_, options) => {
    const { kvBudget = 0.4 } = options;
    const { report, model } = await convert({ kvBudget, allocation: 'measured', ...options });
    const { original, converted } = report.cacheBytesPerToken;
    const bytes = cacheBytesPerToken(model.config.decoder, model.weights, model.cache);
    expect((bytes.vision + bytes.text) / 2).toBe(converted);
    expect(converted / original).toBeLessThanOrEqual(kvBudget);
    // Another dim for each KV head of one layer would not have fitted.
    expect(converted / original).toBeGreaterThan(kvBudget - 8 / original);
    const naive = await logits(model, 'naive');
    // Sums of a latent in another order.
    expectClose(await logits(model, 'absorbed'), naive, { abs: 1e-5 });
  });

  test('leaves no tensors behind, whole or aborted', async () => {
    const run = (options: ConvertRunOptions) =>
      convertModel(source, memoryOutput(), { calibration, ...measured, ...options });
    await expectNoLeak(async () => {
      await run({});
    });
    for (const stopAt of ['measure', 'convert']) {
      await expectNoLeak(async () => {
        const abort = new AbortController();
        const onProgress = ({ phase }: { phase: string }) => {
          if (phase === stopAt) abort.abort(new Error('enough'));
        };
        await expect(run({ signal: abort.signal, onProgress })).rejects.toThrow('enough');
      });
    }
  });

  test('stopped after a layer of either pass, goes on to the same bytes', async () => {
    const whole = (await convert(measured)).files;
    expect([...whole.keys()].filter((name) => /^(measure|layer)-/.test(name))).toEqual([]);
    // In the measuring pass, between the two, in the conversion.
    for (const stop of [1, 2, 3]) {
      const output = memoryOutput();
      const abort = new AbortController();
      let seen = 0;
      const onProgress = () => {
        seen++;
        if (seen === stop) abort.abort(new Error('enough'));
      };
      const run = { calibration, ...measured };
      const stopped = convertModel(source, output, { ...run, onProgress, signal: abort.signal });
      await expect(stopped).rejects.toThrow('enough');
      await convertModel(source, output, run);
      expect(output.files).toEqual(whole);
    }
  });
});
