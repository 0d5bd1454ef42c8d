/** A search for rank or bits: what it keeps to, what it finds, and that it says so. */
import { memoryStore } from '@mha2mla/checkpoint';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ConvertRunOptions, convertModel } from '../convert/convert-model';
import type { ConvertOptions } from '../convert/convert-options';
import { planConversion } from '../convert/plan-conversion';
import { openTinyLlava, tinyInputs } from '../convert/tiny-llava';
import { memoryOutput } from '../output/result-output';

const calibration = [tinyInputs(1, 4)];
const source = await openTinyLlava({ kvHeads: 2, bias: true });
const search = { spend: 'auto', kvBudget: 0.3 } as const;

async function convert(options: ConvertRunOptions) {
  const output = memoryOutput();
  const report = await convertModel(source, output, { calibration, ...options });
  const model = await openVlm(memoryStore(output.files), { families: [llava] });
  return { report, model, files: output.files };
}

describe('a search', () => {
  test.each<[ConvertOptions, RegExp]>([
    [{}, /spend auto needs kvBudget\./],
    [{ kvBudget: 0.3, cache: { kvBits: 4 } }, /needs no kvBits, which it chooses/],
    [{ kvBudget: 0.3, factor: 'split' }, /needs factor joint/],
    [{ kvBudget: 0.3, hadamard: 4 }, /needs no hadamard/],
    [{ kvBudget: 0.3, cache: { kvMethod: 'bands' } }, /needs a kvMethod that fits nothing/],
    [{ kvBudget: 0.001 }, /The smallest that works here is/],
  ])('%o is refused', (options, message) => {
    const { decoder } = source.config;
    expect(() => planConversion(decoder, { ...options, spend: 'auto' })).toThrow(message);
  });

  test('needs samples, whatever the factors need', () => {
    const weights = { strategy: 'high', init: 'weights' } as const;
    expect(planConversion(source.config.decoder, { ...search, ...weights }).needsCalibration).toBe(
      true,
    );
  });
});

describe('a search on a small model', () => {
  beforeAll(() => tf.setBackend('wasm'));

  test.each<[string, ConvertRunOptions]>([
    ['a quarter of the head rotary', {}],
    ['groups', { groups: 2, kvBudget: 0.6 }],
    ['one latent for both modalities', { decouple: false }],
    ['factors of the weights', { init: 'weights', strategy: 'high' }],
    ['rotary dims and bits that are given', { ropeDim: 4, cache: { ropeBits: 8 }, kvBudget: 0.6 }],
    ['codebooks', { cache: { kvMethod: 'lloyd-max' } }],
    ['ranks by layer', { allocation: 'measured' }],
  ])('%s: keeps to the bytes, and what it finds is what its flags make', async (_, options) => {
    const { kvBudget: share } = { ...search, ...options };
    const { report, model, files } = await convert({ ...search, ...options });
    const { original, converted } = report.cacheBytesPerToken;
    const bytes = cacheBytesPerToken(model.config.decoder, model.weights, model.cache);
    expect((bytes.vision + bytes.text) / 2).toBe(converted);
    expect(converted).toBeLessThanOrEqual(share * original);
    const { candidates, chosen, checked } = report.spending!;
    expect([chosen, checked]).toEqual([0, false]);
    const { kvBits, ropeBits, ropeDim, kvBudget, bytesPerToken } = candidates[0]!;
    expect(model.cache).toMatchObject({ kvBits, ropeBits });
    expect(bytesPerToken).toBeLessThanOrEqual(share * original);
    const { allocation } = report.options as ConvertOptions;
    if (allocation === 'uniform') expect(converted).toBe(bytesPerToken);
    const cache = { ...options.cache, kvBits, ropeBits };
    const given = await convert({ ...options, kvBudget, ropeDim, allocation, cache });
    const shards = (of: typeof files) => [...of].filter(([name]) => name.endsWith('.safetensors'));
    expect(shards(given.files)).toEqual(shards(files));
    expect(given.files.get('config.json')).toEqual(files.get('config.json'));
  });

  test('asks the best three, and takes the likeliest', async () => {
    const asked: unknown[] = [];
    const ask: ConvertRunOptions['ask'] = async ({ cache }) => {
      asked.push(cache.kvBits);
      const nll = [6, 4, 5][asked.length - 1]!;
      return [0, 1].map((more) => ({ nll: nll + more, tokens: 2, exact: false }));
    };
    const { report, model } = await convert({ ...search, ask });
    const { candidates, chosen, checked } = report.spending!;
    expect(candidates.map(({ nll }) => nll)).toEqual([3.25, 2.25, 2.75, undefined, undefined]);
    expect(candidates.slice(0, 3).map(({ kvBits }) => kvBits)).toEqual(asked);
    expect([chosen, checked]).toEqual([1, true]);
    expect(model.cache.kvBits).toBe(candidates[1]!.kvBits);
  });

  test('leaves no scratch behind, and goes on where it was stopped', async () => {
    const whole = (await convert(search)).files;
    expect([...whole.keys()].filter((name) => /^(errors|spending|layer)/.test(name))).toEqual([]);
    // In the search, behind it, in the conversion.
    for (const stop of [1, 2, 3]) {
      const output = memoryOutput();
      const abort = new AbortController();
      const phases: string[] = [];
      const onProgress = ({ phase }: { phase: string }) => {
        phases.push(phase);
        if (phases.length === stop) abort.abort(new Error('enough'));
      };
      const run = { calibration, ...search, onProgress };
      const stopped = convertModel(source, output, { ...run, signal: abort.signal });
      await expect(stopped).rejects.toThrow('enough');
      await convertModel(source, output, run);
      expect(output.files).toEqual(whole);
    }
  });
});

describeBackends('a search', () => {
  test('leaves no tensors behind, whole or aborted', async () => {
    const abort = new AbortController();
    await expectNoLeak(async () => {
      await convertModel(source, memoryOutput(), { calibration, ...search });
    });
    await expectNoLeak(async () => {
      const run = { calibration, ...search, signal: abort.signal };
      const onProgress = () => abort.abort(new Error('enough'));
      const stopped = convertModel(source, memoryOutput(), { ...run, onProgress });
      await expect(stopped).rejects.toThrow('enough');
    });
  });
});
