import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { type Decoder, loadDecoder, prefillStep, textLayout } from '../index';
import { isTensorFlowOnProcessor } from '../kernels/host-backends';
import { randomConfig, randomWeights, readerOf } from '../random-weights.reference';
import { PADDING, TEXT, type TokenLayout, VISION } from '../token-layout';
import { DecoderCache } from './decoder-cache';

const [P, T, V] = [PADDING, TEXT, VISION];

function layoutOf(...rows: number[][]): TokenLayout {
  const kinds = Uint8Array.from(rows.flat());
  return { batch: rows.length, length: rows[0]!.length, kinds };
}

describe('DecoderCache', () => {
  it('keeps the sequence positions of each segment, empty slots marked', () => {
    const cache = DecoderCache.create(2, 1, ['vision', 'text']);
    cache.reserve(layoutOf([T, V, V, T], [P, P, V, T]), new Int32Array(8));
    cache.reserve(textLayout(2, 1), new Int32Array(2));
    const table = (segment: 'vision' | 'text') =>
      [0, 1].map((row) => cache.slotTable(segment).positions(row));
    expect(table('vision')).toEqual([
      [1, 2],
      [0, -1],
    ]);
    expect(table('text')).toEqual([
      [0, 3, 4],
      [1, -1, 2],
    ]);
    expect([...cache.lengths]).toEqual([5, 3]);
  });

  it('takes tokens of its own batch size', () => {
    const cache = DecoderCache.create(2, 1, ['all']);
    expect(() => cache.reserve(textLayout(3, 4), new Int32Array(12))).toThrow(
      /must have 2 rows, got 3/,
    );
    expect(() => cache.slotTable('vision')).toThrow(/expected a segment, got "vision"/);
  });

  test.each([
    [{ blockLength: 0 }, /blockLength must be a positive integer, got 0/],
    [{ blockLength: 1.5 }, /blockLength must be a positive integer, got 1.5/],
    [{ layers: { 1: { kvBits: 8 as const } } }, /layers must be numbers below 1, got layer 1/],
    [
      { layers: { 0: { kvBits: { vision: 4 as const } } } },
      /one number where all tokens share a cache, got vision=4/,
    ],
    [{ kvBits: { vision: 4 as const } }, /one number where all tokens share a cache, got vision=4/],
  ])('refuses %o before any work', (options, message) => {
    expect(() => DecoderCache.create(1, 1, ['all'], options)).toThrow(message);
  });
});

describeBackends('the cache of a decoder', () => {
  const options = { decoupled: true, latent: 12 };
  const config = randomConfig(options);
  let decoder: Decoder;

  beforeAll(async () => {
    decoder = await loadDecoder(config, readerOf(randomWeights(config, options, gaussian)));
    return () => decoder.dispose();
  });

  async function filled(layout: TokenLayout, cacheOptions = {}) {
    const cache = decoder.createCache(layout.batch, cacheOptions);
    const ids = Int32Array.from(layout.kinds, (_, i) => (3 * i) % config.vocabSize);
    const embeds = decoder.embed(ids, [layout.batch, layout.length]);
    const positions = ids.map((_, i) => i % layout.length);
    const step = prefillStep(layout, positions, config);
    tf.dispose([await decoder.prefill(embeds, step, { cache }), embeds]);
    step.dispose();
    return cache;
  }

  async function next(cache: DecoderCache, id: number, position: number) {
    const logits = decoder.decode(Int32Array.of(id), Int32Array.of(position), cache);
    const values = [...(await logits.data())];
    logits.dispose();
    return values;
  }

  test.each([undefined, 4] as const)(
    '%s bits: two forks and their parent go on as if alone',
    async (kvBits) => {
      const prompt = layoutOf([T, V, V, T]);
      const make = () => filled(prompt, { kvBits, groupSize: 4, blockLength: 3 });
      const parent = await make();
      const [a, b] = [parent.fork(), parent.fork()];
      const paths = [
        [a, 5],
        [b, 7],
        [parent, 9],
      ] as const;
      const results = [];
      for (const [cache, id] of paths) {
        results.push([await next(cache, id, 4), await next(cache, id + 1, 5)]);
      }
      for (const [i, [, id]] of paths.entries()) {
        const alone = await make();
        expect(results[i]).toEqual([await next(alone, id, 4), await next(alone, id + 1, 5)]);
        alone.dispose();
      }
      for (const cache of [parent, a, b]) cache.dispose();
    },
  );

  test('allocatedBytes is what its tensors hold: empty slots too, masks not', async () => {
    const before = tf.memory().numBytes;
    const cache = await filled(layoutOf([T, V, V, T], [P, P, V, T]));
    // Memory of ours has room for more tokens, and is none of TensorFlow.js's.
    const [slots, tensors] = isTensorFlowOnProcessor() ? [64, 0] : [2, cache.allocatedBytes];
    expect(tf.memory().numBytes - before).toBe(tensors);
    // 2 layers, 2 rows, 2 slots of each modality; C 12, K 2, R 4.
    expect(cache.allocatedBytes).toBe(2 * 2 * (slots + slots) * 4 * (12 + 2 * 4));
    cache.dispose();
  });

  test('rotary positions stay where rotary keys have a bias, and nowhere else', async () => {
    const prompt = layoutOf([T, V, V, T]);
    const biased = await filled(prompt, { kvBits: 4, groupSize: 4 });
    expect(biased.bytes.nominal.positions).toBe(2 * 4 * 4);
    biased.dispose();
    const bare = randomWeights(config, { ...options, without: ['k_r_proj'] }, gaussian);
    const other = await loadDecoder(config, readerOf(bare));
    const cache = other.createCache(1, { kvBits: 4, groupSize: 4 });
    cache.reserve(prompt, Int32Array.of(0, 1, 2, 3));
    expect(cache.bytes.nominal.positions).toBe(4 * 4);
    cache.dispose();
    other.dispose();
  });

  test("empty slots hold their row's last token, and zeros where there is none", async () => {
    const cache = await filled(layoutOf([T, V, V, T], [P, P, V, T], [P, P, P, T]));
    const [block] = cache.layers[0]!.part('vision', 'kvLatent').read();
    const values = await block!.data();
    const slots = Array.from({ length: 6 }, (_, i) => values.subarray(12 * i, 12 * (i + 1)));
    expect(slots[2]!.every((v) => v !== 0)).toBe(true);
    expect(slots[3]).toEqual(slots[2]);
    for (const empty of slots.slice(4)) expect([...empty]).toEqual(new Array(12).fill(0));
    block!.dispose();
    cache.dispose();
  });

  test('a token outside the vocabulary leaves the cache as it was', async () => {
    const cache = await filled(layoutOf([T, V, V, T]));
    const before = tf.memory().numTensors;
    expect(() => decoder.decode(Int32Array.of(99), Int32Array.of(4), cache)).toThrow(/got 99/);
    expect(() => decoder.decode(Int32Array.of(1), Int32Array.of(4, 4), cache)).toThrow(/got 2/);
    expect(tf.memory().numTensors).toBe(before);
    expect([...cache.lengths]).toEqual([4]);
    const alone = await filled(layoutOf([T, V, V, T]));
    expect(await next(cache, 5, 4)).toEqual(await next(alone, 5, 4));
    cache.dispose();
    alone.dispose();
  });

  test('prefill, decode and fork leave no tensors behind', () =>
    expectNoLeak(async () => {
      const cache = await filled(layoutOf([P, T]), { kvBits: 8, groupSize: 4 });
      await next(cache, 1, 1);
      const fork = cache.fork();
      await next(fork, 2, 2);
      cache.dispose();
      fork.dispose();
      decoder.refresh();
    }));
});
