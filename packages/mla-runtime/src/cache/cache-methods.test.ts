/** Whatever the method, attention reads what the cache says that it holds, and nothing else. */
import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
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
import type { CacheOptions } from './cache-options';
import { DecoderCache } from './decoder-cache';
import { segmentColumns } from './segment-tokens';

const KINDS = Uint8Array.from({ length: 23 }, (_, t) => (t > 3 && t < 14 ? VISION : TEXT));
const LAYOUT = { batch: 1, length: KINDS.length, kinds: KINDS };

const METHODS: CacheOptions[] = [
  { kvBits: 3 },
  { kvMethod: 'hqq', kvBits: 2 },
  { kvMethod: 'kivi', kvBits: 4 },
  { kvMethod: 'kivi', kvBits: 2, ropeBits: 16 },
  { kvMethod: 'lloyd-max', kvBits: 3 },
  { kvMethod: 'lloyd-max', kvBits: 4, ropeBits: 2, latentsTurned: true },
  { kvMethod: 'int8', kvBits: 8, ropeBits: 4 },
];

const FORMS: [string, RandomDecoderOptions, string[]][] = [
  ['keys and values', { form: 'original' }, ['key', 'value']],
  ['2 groups of latents', { groups: 2 }, ['kvLatent', 'kPe']],
  ['latents by modality', { decoupled: true }, ['kvLatent', 'kPe']],
];

async function randomDecoder(options: RandomDecoderOptions): Promise<Decoder> {
  // A bias of rotary keys is kept out of quantized caches alone, and would be missed in an exact one.
  const all = { ...options, numHiddenLayers: 1, without: ['k_r_proj'] };
  const config = randomConfig(all);
  return loadDecoder(config, readerOf(randomWeights(config, all, gaussian)));
}

async function filled(decoder: Decoder, options?: CacheOptions): Promise<DecoderCache> {
  const cache = decoder.createCache(1, options);
  const step = prefillStep(LAYOUT, Int32Array.from(KINDS.keys()), decoder.config);
  const embeds = decoder.embed(
    Int32Array.from(KINDS, (_, t) => (5 * t) % 19),
    [1, KINDS.length],
  );
  const hidden = await decoder.prefill(embeds, step, { cache });
  tf.dispose([embeds, hidden]);
  step.dispose();
  return cache;
}

async function decode(decoder: Decoder, cache: DecoderCache): Promise<Float32Array> {
  const logits = decoder.decode(Int32Array.of(3), Int32Array.of(KINDS.length), cache);
  const values = (await logits.data()) as Float32Array;
  logits.dispose();
  return values;
}

describeBackends('a cache of each method', () => {
  test.each(
    FORMS.flatMap(([form, options, parts]) =>
      METHODS.map((method) => [form, JSON.stringify(method), options, parts, method] as const),
    ),
  )('%s, %s: decode attends to the dequantized vectors', async (_, __, options, parts, method) => {
    const decoder = await randomDecoder(options);
    const cache = await filled(decoder, {
      ...method,
      groupSize: 4,
      residualLength: 1,
      blockLength: 8,
    });
    const actual = await decode(decoder, cache);
    const exact = await filled(decoder);
    const plain = exact.fork();
    for (const segment of decoder.layers[0]!.attention.segments) {
      const tokens = segmentColumns(segment, LAYOUT)[0]!.length; // the last is decoded again
      exact.layers[0]!.rewind(segment, 0);
      for (const part of parts) {
        const blocks = cache.layers[0]!.part(segment, part).read<tf.Rank.R4>();
        const held = tf.concat(blocks, 2);
        const [, heads, , width] = held.shape;
        const before = tf.slice(held, 0, [1, heads, tokens, width]);
        // Packed rotary keys lie side by side, exact ones head by head.
        const own = part === 'kPe' ? decoder.config.numKeyValueHeads : heads;
        const rows = tf.reshape(tf.transpose(before, [0, 2, 1, 3]), [1, tokens, own, -1]);
        const byHead = tf.transpose(rows, [0, 2, 1, 3]);
        exact.layers[0]!.part(segment, part).append(byHead);
        tf.dispose([blocks, held, before, rows, byHead]);
      }
    }
    const expected = await decode(decoder, exact);
    expectClose(actual, expected, { abs: 2e-6 }); // sums in another order
    // 8 and 16 bits beside 2 of values: the least that any of them changes is 0.01.
    const unchanged = await decode(decoder, plain);
    expect(Math.max(...actual.map((v, i) => Math.abs(v - unchanged[i]!)))).toBeGreaterThan(1e-3);
    for (const part of [cache, exact, plain, decoder]) part.dispose();
  });
});

test('what a method cannot have is refused before any work', () => {
  const make = (options: CacheOptions) => () => DecoderCache.create(1, 1, ['all'], options);
  const unknown = { kvMethod: 'nf4' as 'kivi', kvBits: 4 as const };
  expect(make({ kvMethod: 'lloyd-max', kvBits: 8 })).toThrow(/must be 2, 3, 4 or 16, got 8/);
  expect(make({ kvMethod: 'int8', kvBits: 4 })).toThrow(/of int8 must be 8 or 16, got 4/);
  expect(make({ kvMethod: 'kivi' })).toThrow(/must come with bits, got kvMethod=kivi alone/);
  expect(make(unknown)).toThrow(/kvMethod must be one of .*, got nf4/);
  expect(make({ kvMethod: 'kivi', kvBits: 4, blockLength: 8 })).toThrow(/blockLength must be/);
  expect(make({ kvBits: 4, residualLength: -1 })).toThrow(/residualLength must be/);
  make({ kvMethod: 'lloyd-max', kvBits: 16 })().dispose();
});
