import { memoryStore } from '@mha2mla/checkpoint';
import { loadDecoder } from '@mha2mla/mla-runtime';
import { expectNoLeak } from '@mha2mla/testing';
import { openVlm } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { openTinyLlava, tinyInputs } from '../convert/tiny-llava';
import { FAMILIES } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { measureSpeed, type SpeedArm } from './measure-speed';
import { speedPlots } from './speed-plots';

const SIZES = { depths: [0, 7], prefill: 5, decode: 3, repetitions: 2 };

async function arms(): Promise<SpeedArm[]> {
  const original = await openTinyLlava();
  const output = memoryOutput();
  await convertModel(original, output, { rank: 4, calibration: [tinyInputs(1)] });
  const converted = await openVlm(memoryStore(output.files), { families: FAMILIES });
  const named = Object.entries({ converted, original });
  return Promise.all(
    named.map(async ([name, { config, weights }]) => ({
      name,
      decoder: await loadDecoder(config.decoder, weights),
    })),
  );
}

describe('measureSpeed', () => {
  beforeAll(async () => {
    await import('@tensorflow/tfjs-backend-wasm');
    await tf.setBackend('wasm');
  });

  test('tests are named as llama-bench names them, arms side by side, samples counted', async () => {
    const own = await arms();
    const done: number[] = [];
    const results = await measureSpeed(own, {
      ...SIZES,
      onProgress: ({ loaded, total }) => done.push(loaded / total),
    });
    expect(results.map(({ test, arm }) => `${test} ${arm}`)).toEqual(
      ['pp5', 'tg3', 'pp5 @ d7', 'tg3 @ d7'].flatMap((name) => [
        `${name} converted`,
        `${name} original`,
      ]),
    );
    for (const { samples, mean, deviation } of results) {
      const [a, b] = samples as [number, number];
      expect(samples).toHaveLength(2);
      expect(Math.min(a, b)).toBeGreaterThan(0);
      expect(mean).toBeCloseTo((a + b) / 2);
      expect(deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2);
    }
    expect(done).toHaveLength(12);
    expect(done.at(-1)).toBe(1);
    const [prefill, decode, cache] = speedPlots(results, { converted: 10, original: 40 });
    for (const { series } of [prefill!, decode!, cache!]) {
      expect(series.map(({ name }) => name)).toEqual(['original', 'converted']);
    }
    expect(cache!.series[0]).toEqual({
      name: 'original',
      points: [
        { bytes: 1.5, value: 60 },
        { bytes: 8.5, value: 340 },
      ],
    });
    for (const { decoder } of own) decoder.dispose();
  });

  test('plots say how fast over the longest context, and whether rounds differ by more than they vary', () => {
    const result = (arm: string, samples: number[], depth = 7) => ({
      ...{ test: 'tg3', kind: 'decode' as const, tokens: 3, depth, arm, samples },
      ...{ mean: samples.reduce((a, b) => a + b) / samples.length, deviation: 0 },
    });
    const titleOf = (...results: ReturnType<typeof result>[]) =>
      speedPlots(results, { converted: 1, original: 2 })[0]!.title;
    const original = result('original', [90, 110]);
    expect(titleOf(result('converted', [150, 170]), original)).toBe(
      'Decoding at 1.60 times the original’s speed over 7 tokens',
    );
    expect(titleOf(result('converted', [100, 120]), result('original', [1, 2], 0), original)).toBe(
      'Decoding at 1.10 times the original’s speed over 7 tokens, within the spread of the rounds',
    );
    expect(titleOf(original)).toBe('Decoding against context');
  });

  test('every round begins with the same cache: the same tokens over the same tokens', async () => {
    const [arm] = await arms();
    const { decoder } = arm!;
    const found = new Set<string>();
    const decode = decoder.decode.bind(decoder);
    decoder.decode = (ids, positions, cache) => {
      const before = cache.lengths[0]!;
      const logits = decode(ids, positions, cache);
      found.add([before, positions[0], ids[0], ...logits.dataSync()].join());
      return logits;
    };
    await measureSpeed([arm!], { ...SIZES, depths: [7], prefill: 4 });
    expect(found.size).toBe(3);
    decoder.dispose();
  });

  test('leaves no tensor, also when it is stopped', async () => {
    const own = await arms();
    await expectNoLeak(async () => {
      await measureSpeed(own, SIZES);
      const abort = new AbortController();
      const onProgress = ({ loaded }: { loaded: number }) => {
        if (loaded === 5) abort.abort(new Error('enough'));
      };
      const { signal } = abort;
      await expect(measureSpeed(own, { ...SIZES, signal, onProgress })).rejects.toThrow('enough');
    });
    for (const { decoder } of own) decoder.dispose();
  });

  test.each([
    [{ depths: [] }, /expected arms and depths, got 1 and 0/],
    [{ depths: [-1] }, /depths must be integers of at least 0, got -1/],
    [{ prefill: 0, decode: 0 }, /prefill or decode, and repetitions must be above 0/],
    [{ repetitions: 0 }, /must be above 0, got 5, 3, 0/],
    [{ vision: 2 }, /vision must lie in \[0, 1\], got 2/],
  ])('refuses %o', async (wrong, message) => {
    const [arm] = await arms();
    await expect(measureSpeed([arm!], { ...SIZES, ...wrong })).rejects.toThrow(message);
  });
});
