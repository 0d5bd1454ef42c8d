/** Scales that a conversion fits are those of the latents that the converted model caches. */
import { memoryStore } from '@mha2mla/checkpoint';
import { cacheBytesPerToken, type Segment } from '@mha2mla/mla-runtime';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, tensorDifference, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { prefillPrompts } from '../evaluate/prompt-context';
import { memoryOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { planConversion } from './plan-conversion';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const calibration = [tinyInputs(1), tinyInputs(2)];

async function convert(options: ConvertRunOptions) {
  const output = memoryOutput();
  const report = await convertModel(await openTinyLlava(), output, { calibration, ...options });
  const source = await openVlm(memoryStore(output.files), { families: [llava] });
  return { report, source };
}

describeBackends('a cache by scales of the conversion', () => {
  test.each<[string, ConvertRunOptions]>([
    ['by modality', { rank: 6 }],
    ['shared latents', { rank: 6, decouple: false }],
    ['2 groups, cast', { rank: 6, groups: 2, dtype: 'BF16' }],
    ['turned', { rank: 6, hadamard: 4 }],
  ])('%s: latents of the samples lie within half a step', async (_, options) => {
    const cache = { kvMethod: 'static', kvBits: 8 } as const;
    const { source } = await convert({ ...options, cache });
    const model = await VisionLanguageModel.load(source);
    const [exact, coded] = [
      await prefillPrompts(model, calibration[0]!, {}),
      await prefillPrompts(model, calibration[0]!, { cache: source.cache }),
    ];
    for (const [index, layer] of model.decoder.layers.entries()) {
      for (const segment of layer.attention.segments) {
        const { scales } = source.cache.latentSpecs![index]![segment]!;
        const [expected, found] = [exact, coded].map(({ cache }) => {
          const blocks = cache.layers[index]!.part(segment, 'kvLatent').read();
          expect(blocks).toHaveLength(1);
          return { shape: blocks[0]!.shape, values: blocks[0]!.dataSync(), tensor: blocks[0]! };
        });
        const [, heads, tokens, width] = expected!.shape as [number, number, number, number];
        expect(scales).toHaveLength(heads * width);
        // A few values of a channel may be clipped, where that has the smaller error in all.
        const beyond = expected!.values.filter((value, i) => {
          const head = Math.floor(i / (tokens * width)) % heads;
          return Math.abs(value - found!.values[i]!) > 0.51 * scales[head * width + (i % width)]!;
        });
        expect(beyond.length / expected!.values.length).toBeLessThan(0.05);
        tf.dispose([expected!.tensor, found!.tensor]);
      }
    }
    exact.cache.dispose();
    coded.cache.dispose();
    model.dispose();
  });

  test('widths are stored with the model, and its bytes are those of the report', async () => {
    const cache = { kvMethod: 'bands', kvBits: { vision: 3, text: 4 } } as const;
    const { report, source } = await convert({ rank: 12, cache, dtype: 'F16' });
    expect(tensorDifference(source)).toEqual({ missing: [], unexpected: [] });
    const [first] = source.cache.latentSpecs!;
    for (const segment of ['vision', 'text'] as Segment[]) {
      const { bands, scales } = first![segment]!;
      const widths = bands.map(({ bits }) => bits);
      expect(widths).toEqual([...widths].sort((a, b) => b - a));
      expect(bands.reduce((sum, { channels }) => sum + channels, 0)).toBe(24);
      expect(scales).toHaveLength(24);
    }
    const { vision, text } = cacheBytesPerToken(
      source.config.decoder,
      source.weights,
      source.cache,
    );
    expect(report.cacheBytesPerToken.converted).toBe((vision + text) / 2);
    expect(JSON.stringify(report.options)).not.toMatch(/scales/);
  });

  test('layers of 16 bits have none', async () => {
    const cache = { kvMethod: 'static', kvBits: 4, layers: { 0: { kvBits: 16 } } } as const;
    const { source } = await convert({ rank: 4, cache });
    expect(source.cache.latentSpecs!.map((layer) => Object.keys(layer))).toEqual([
      [],
      ['vision', 'text'],
    ]);
  });

  test('fitting leaves no tensors behind', () =>
    expectNoLeak(async () => {
      await convert({ rank: 4, cache: { kvMethod: 'bands', kvBits: 2 } });
    }));
});

test.each<[ConvertRunOptions, RegExp]>([
  [{ propagate: 'rope' }, /kvMethod static needs propagate converted, got .*propagate=rope/],
  [{ factor: 'split' }, /needs factor joint, got factor=split/],
  [{ hadamard: 4, cache: { kvMethod: 'bands', kvBits: 4 } }, /kvMethod bands needs no hadamard/],
  [{ cache: { kvMethod: 'static' } }, /a method must come with bits/],
])('%j is refused', async (options, message) => {
  const { config } = await openTinyLlava();
  const given = { rank: 4, cache: { kvMethod: 'static', kvBits: 4 } as const, ...options };
  expect(() => planConversion(config.decoder, given)).toThrow(message);
});

test('samples are needed', async () => {
  const { config } = await openTinyLlava();
  const blind = { strategy: 'high', init: 'weights', rank: 4 } as const;
  const needs = (kvMethod: 'static' | 'affine') =>
    planConversion(config.decoder, { ...blind, cache: { kvMethod, kvBits: 4 } }).needsCalibration;
  expect([needs('static'), needs('affine')]).toEqual([true, false]);
});
