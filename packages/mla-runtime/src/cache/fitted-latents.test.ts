/** Caches whose latents are stored by scales that came with the model. */
import { fitStatic, PackedTensor, type StaticSpec } from '@mha2mla/kv-quant';
import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import type { Decoder } from '../decoder';
import { loadDecoder } from '../load-decoder';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
  readerOf,
} from '../random-weights.reference';
import { prefillStep } from '../step';
import { TEXT, VISION } from '../token-layout';
import { cacheBytesPerToken } from './cache-bytes';
import { type CacheOptions, fittedBits } from './cache-options';
import { DecoderCache } from './decoder-cache';
import { storedParts } from './layer-cache';

const LENGTH = 17;
const KINDS = Uint8Array.from({ length: LENGTH }, (_, t) => (t % 5 < 3 ? VISION : TEXT));

const fit = (heads: number, bands: boolean, seed: number): StaticSpec =>
  fitStatic(
    gaussian(40 * 12, seed).map((v) => 2 * v),
    12 / heads,
    { bits: bands ? 3 : 4, bands, heads },
  );

const FORMS: [string, RandomDecoderOptions, CacheOptions][] = [
  [
    '4 bits by modality',
    { decoupled: true },
    {
      ...{ kvMethod: 'static', kvBits: 4, groupSize: 4 },
      latentSpecs: [1, 2].map((i) => ({ vision: fit(1, false, i), text: fit(1, false, 3 * i) })),
    },
  ],
  [
    'bands of 2 groups',
    { groups: 2 },
    {
      ...{ kvMethod: 'bands', kvBits: 3, groupSize: 4 },
      latentSpecs: [1, 2].map((i) => ({ all: fit(2, true, i) })),
    },
  ],
];

async function load(options: RandomDecoderOptions): Promise<Decoder> {
  const config = randomConfig(options);
  return loadDecoder(config, readerOf(randomWeights(config, options, gaussian)));
}

/** Run the tokens in turns that end at `ends`. */
async function filled(decoder: Decoder, options: CacheOptions, ends: number[]) {
  const cache = decoder.createCache(1, options);
  let start = 0;
  for (const end of ends) {
    const length = end - start;
    const layout = { batch: 1, length, kinds: KINDS.slice(start, end) };
    const columns = Int32Array.from({ length }, (_, i) => start + i);
    const step = prefillStep(layout, columns, decoder.config);
    const embeds = decoder.embed(
      columns.map((t) => (5 * t) % 19),
      [1, length],
    );
    tf.dispose([await decoder.prefill(embeds, step, { cache }), embeds]);
    step.dispose();
    start = end;
  }
  return cache;
}

/** Codes of the first layer's latents; later ones see sums in another order. */
function codes(decoder: Decoder, cache: DecoderCache): number[][] {
  return decoder.layers[0]!.attention.segments.map((segment) =>
    storedParts(cache.layers[0]!.part(segment, 'kvLatent')).flatMap((part) => {
      expect(part).toBeInstanceOf(PackedTensor);
      expect((part as PackedTensor).params).toBeUndefined();
      return [...(part as PackedTensor).codes.dataSync()];
    }),
  );
}

describeBackends('latents by static scales', () => {
  test.each(FORMS)('%s: any turns and a rewind leave the same codes', async (_, form, options) => {
    const decoder = await load(form);
    const whole = await filled(decoder, options, [LENGTH]);
    const turns = await filled(decoder, options, [6, 7, 12, LENGTH]);
    expect(codes(decoder, turns)).toEqual(codes(decoder, whole));
    const short = await filled(decoder, options, [9]);
    turns.rewind([9]);
    expect(codes(decoder, turns)).toEqual(codes(decoder, short));
    for (const part of [whole, turns, short, decoder]) part.dispose();
  });

  test.each(FORMS)(
    '%s: bytes are codes alone, and what was said a token',
    async (_, form, options) => {
      const decoder = await load(form);
      const cache = await filled(decoder, options, [LENGTH]);
      const { nominal, allocated } = cache.bytes;
      const { config } = decoder;
      const weights = randomWeights(config, form, gaussian);
      const bytes = (own: CacheOptions) =>
        cacheBytesPerToken(config, { shape: (name) => weights.get(name)?.shape }, own);
      const each = bytes(options);
      expect(bytes({ ...options, latentSpecs: undefined }).text).toBeGreaterThanOrEqual(each.text);
      const vision = KINDS.filter((kind) => kind === VISION).length;
      const expected = vision * each.vision + (LENGTH - vision) * each.text;
      expect(allocated.codes + allocated.params).toBe(expected);
      // Rotary keys alone have params: 8 of K R in groups of 4, in 2 layers.
      expect(allocated.params).toBe(2 * LENGTH * 2 * 4);
      expect(nominal.codes).toBeLessThanOrEqual(allocated.codes);
      // Each token's place, and its one rotary position: 4 bytes, 8 in an array of the host.
      expect(nominal.positions).toBe(2 * 4 * LENGTH);
      expect(allocated.positions).toBe(2 * 8 * LENGTH);
      expect(cache.allocatedBytes).toBe(allocated.total - allocated.positions);
      cache.dispose();
      decoder.dispose();
    },
  );

  test('leave no tensors behind', () =>
    expectNoLeak(async () => {
      const decoder = await load(FORMS[0]![1]);
      const cache = await filled(decoder, FORMS[0]![2], [5, LENGTH]);
      cache.dispose();
      decoder.dispose();
    }));
});

describe('fitted latents', () => {
  test('are refused without a table, where their layers have fewer than 16 bits', () => {
    const options: CacheOptions = { kvMethod: 'static', kvBits: 4 };
    const make = (own: CacheOptions) => () => DecoderCache.create(1, 2, ['all'], own);
    expect(make(options)).toThrow(/fitted, got none for kvLatent of layer 0\. Convert with --kv-m/);
    make({ ...options, layers: { 0: { kvBits: 16 }, 1: { kvBits: 16 } } })().dispose();
    expect(fittedBits(0, 'all', options)).toBe(4);
    expect(fittedBits(0, 'all', { ...options, layers: { 0: { kvBits: 16 } } })).toBeUndefined();
    expect(fittedBits(0, 'all', { kvMethod: 'hqq', kvBits: 4 })).toBeUndefined();
  });
});
