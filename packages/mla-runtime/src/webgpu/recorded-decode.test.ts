/** A recorded step gives the logits of the composed one, in every form. */
import { describeWebGpu, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import type { CacheOptions } from '../cache/cache-options';
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { type LoadDecoderOptions, loadDecoder } from '../load-decoder';
import { storeWeights } from '../packed/store-affine.reference';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
  readerOf,
} from '../random-weights.reference';
import { argMax } from '../sample';
import { prefillStep } from '../step';
import { TEXT as T, VISION as V } from '../token-layout';
import { RecordedDecode, type RecordOptions } from './recorded-decode';

const KINDS = [T, V, V, V, T, V, T];
const IDS = KINDS.map((_, t) => (5 * t + 3) % 19);
const STEPS = 4;

async function load(options: RandomDecoderOptions, loading?: LoadDecoderOptions): Promise<Decoder> {
  const config = randomConfig(options);
  return loadDecoder(config, readerOf(randomWeights(config, options, gaussian)), loading);
}

const positionsAt = ({ config }: Decoder, t: number) =>
  config.mropeSection ? Int32Array.of(t, t, t) : Int32Array.of(t);

/** A cache that the prompt has filled, and the token that follows. */
async function prefill(decoder: Decoder, kinds = KINDS, options?: CacheOptions) {
  const length = kinds.length;
  const axes = decoder.config.mropeSection ? 3 : 1;
  // Axes that differ and jump, as those of pictures do.
  const positions = Int32Array.from({ length: axes * length }, (_, i) => {
    const [axis, t] = [Math.floor(i / length), i % length];
    return t + axis * (t % 3);
  });
  const step = prefillStep(
    { batch: 1, length, kinds: Uint8Array.from(kinds) },
    positions,
    decoder.config,
  );
  const cache = decoder.createCache(1, { blockLength: 2, ...options });
  const embeds = decoder.embed(Int32Array.from(IDS.slice(0, length)), [1, length]);
  const hidden = await decoder.prefill(embeds, step, { cache });
  const logits = decoder.logits(hidden);
  const last = ((await logits.data()) as Float32Array).subarray(-decoder.config.vocabSize);
  step.dispose();
  tf.dispose([embeds, hidden, logits]);
  return { cache, first: argMax(last) };
}

/** Greedy tokens and their logits by the composed ops, on wasm. */
async function composed(options: RandomDecoderOptions, kinds?: number[]) {
  await tf.setBackend('wasm');
  const decoder = await load(options);
  const { cache, first } = await prefill(decoder, kinds);
  const tokens = [first];
  const logits: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const at = (kinds ?? KINDS).length + i;
    const next = decoder.decode(Int32Array.of(tokens[i]!), positionsAt(decoder, at), cache);
    const values = (await next.data()) as Float32Array;
    logits.push(...values);
    tokens.push(argMax(values));
    next.dispose();
  }
  cache.dispose();
  decoder.dispose();
  await tf.setBackend('webgpu');
  return { tokens, logits };
}

/** The same, recorded. */
async function recorded(
  decoder: Decoder,
  cache: DecoderCache,
  first: number,
  length: number,
  options?: RecordOptions,
) {
  const decode = await RecordedDecode.record(decoder, cache, { maxTokens: STEPS, ...options });
  const tokens = [first];
  const logits: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const given = i === 0 ? first : undefined;
    tokens.push(await decode.step(positionsAt(decoder, length + i), given));
    logits.push(...(await decode.logits()));
  }
  const full = decode.step(positionsAt(decoder, length + STEPS));
  await expect(full).rejects.toThrow(/cache is full/);
  const { dispatches } = decode;
  decode.dispose();
  return { tokens, logits, dispatches };
}

const FORMS: [string, RandomDecoderOptions, number[]?][] = [
  ['joint, decoupled, M-RoPE', { decoupled: true, mropeSection: [2, 1, 1] }],
  ['joint, shared', {}],
  ['2 groups, MHA', { decoupled: true, groups: 2, numKeyValueHeads: 4 }],
  ['values only', { form: 'value', decoupled: true }],
  [
    'no pair turned, no key bias on vision',
    { decoupled: true, qkRopeHeadDim: 0, without: ['kv_proj_img.up_k'] },
  ],
  ['all pairs turned', { decoupled: true, qkRopeHeadDim: 8 }],
  ['latent of width 0', { decoupled: true, latent: 0 }],
  ['text alone', { decoupled: true }, [T, T, T]],
  ['original', { form: 'original', numKeyValueHeads: 4 }],
  ['partial RoPE alone, no pair turned', { form: 'none', qkRopeHeadDim: 0 }],
];

describeWebGpu('RecordedDecode', () => {
  test.each(FORMS)(
    '%s: tokens and logits of the composed ops',
    async (_, options, kinds = KINDS) => {
      const expected = await composed(options, kinds);
      const decoder = await load(options);
      const { cache, first } = await prefill(decoder, kinds);
      const found = await recorded(decoder, cache, first, kinds.length);
      expect(found.tokens).toEqual(expected.tokens);
      // Float32 through two layers, sums in another order; logits of size 3.
      expectClose(found.logits, expected.logits, { abs: 1e-5 });
      expect(found.dispatches).toBe(8 * decoder.layers.length + 3);
      cache.dispose();
      decoder.dispose();
    },
    120_000,
  );

  test('narrower weights give logits as near as they are', async () => {
    const options = { decoupled: true };
    const expected = await composed(options);
    const decoder = await load(options);
    const { cache, first } = await prefill(decoder);
    // The first step's logits, of size 3: later ones follow other tokens. Measured 1.3e-3, 0.019, 0.21.
    for (const [weights, abs] of [
      ['f16', 4e-3],
      ['int8', 0.08],
      ['int4', 1],
    ] as const) {
      const { logits } = await recorded(decoder, cache, first, KINDS.length, {
        weights,
        groupSize: 8,
      });
      const { vocabSize } = decoder.config;
      expectClose(logits.slice(0, vocabSize), expected.logits.slice(0, vocabSize), { abs });
    }
    cache.dispose();
    decoder.dispose();
  }, 120_000);

  test.each(['f16', 'int8', 'int4'] as const)(
    '%s weights that were loaded packed are used where they are',
    async (weights) => {
      const decoder = await load({ decoupled: true }, { weights, groupSize: 8 });
      const { cache, first } = await prefill(decoder);
      const other = cache.fork();
      const next = decoder.decode(Int32Array.of(first), positionsAt(decoder, KINDS.length), other);
      const expected = [...(await next.data())];
      tf.dispose(next);
      other.dispose();
      const { logits, dispatches } = await recorded(decoder, cache, first, KINDS.length);
      expectClose(logits.slice(0, expected.length), expected, { abs: 1e-5 }); // as above
      expect(dispatches).toBe(8 * decoder.layers.length + 3);
      const dense = await load({ decoupled: true });
      const sizes: number[] = [];
      for (const one of [decoder, dense]) {
        const decode = await RecordedDecode.record(one, cache, { weights, groupSize: 8 });
        sizes.push(decode.sizeBytes);
        decode.dispose();
      }
      // What is joined is copied: of D 24, the rest are output, MLP, head and table.
      expect(sizes[1]! - sizes[0]!).toBeGreaterThan(2 * (24 * 32 * 4) + 2 * 19 * 24);
      cache.dispose();
      for (const one of [decoder, dense]) one.dispose();
    },
    120_000,
  );

  test.each([
    ['all of them', /./],
    ['of the MLP', /mlp/],
    ['one of two that a gate joins', /gate_proj/],
  ])(
    'weights that are taken over as they are stored: %s',
    async (_, which) => {
      const config = randomConfig({});
      const packing = { format: 'int4', groupSize: 8 } as const;
      const { reader } = storeWeights(randomWeights(config, {}, gaussian), packing, which);
      const decoder = await loadDecoder(config, reader, { weights: 'int8' });
      const { cache, first } = await prefill(decoder);
      const other = cache.fork();
      const next = decoder.decode(Int32Array.of(first), positionsAt(decoder, KINDS.length), other);
      const expected = [...(await next.data())];
      tf.dispose(next);
      other.dispose();
      const { logits } = await recorded(decoder, cache, first, KINDS.length);
      expectClose(logits.slice(0, expected.length), expected, { abs: 1e-5 }); // as above
      cache.dispose();
      decoder.dispose();
    },
    120_000,
  );

  test('recording, steps and disposal leave nothing behind, refusals neither', async () => {
    const decoder = await load({ decoupled: true });
    await expectNoLeak(async () => {
      const { cache, first } = await prefill(decoder);
      await recorded(decoder, cache, first, KINDS.length);
      const record = (options: RecordOptions) => RecordedDecode.record(decoder, cache, options);
      await expect(record({ topK: 0 })).rejects.toThrow('got 0');
      await expect(record({ topK: 2 })).rejects.toThrow('expected `random`');
      await expect(record({ temperature: 0 })).rejects.toThrow('must be positive, got 0');
      await expect(record({ maxTokens: 0.5 })).rejects.toThrow('got 0.5');
      const decode = await record({ maxTokens: 1 });
      const at = positionsAt(decoder, KINDS.length);
      await expect(decode.step(at, 19)).rejects.toThrow('in [0, 19), got 19');
      await expect(decode.step(Int32Array.of(1, 2), 1)).rejects.toThrow('1 x 1 positions, got 2');
      expect(await decode.step(at, first)).toBeLessThan(19); // the refused ones took no room
      decode.dispose();
      cache.dispose();
      const two = decoder.createCache(2);
      await expect(RecordedDecode.record(decoder, two)).rejects.toThrow('one row, got 2');
      two.dispose();
    });
    decoder.dispose();
  }, 120_000);

  test('draws from the largest logits, by the numbers it is given', async () => {
    const decoder = await load({});
    const { cache, first } = await prefill(decoder);
    const draw = async (uniform: number) => {
      const random = () => uniform;
      const decode = await RecordedDecode.record(decoder, cache, { topK: 3, random });
      const token = await decode.step(positionsAt(decoder, KINDS.length), first);
      const logits = await decode.logits();
      decode.dispose();
      const descending = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!);
      return descending.indexOf(token);
    };
    expect(await draw(0)).toBe(0);
    expect(await draw(0.9999)).toBe(2);
    cache.dispose();
    decoder.dispose();
  }, 120_000);

  test('layers of different segments are refused by name', async () => {
    const config = randomConfig({ decoupled: true });
    const weights = randomWeights(config, { decoupled: true }, gaussian);
    const shared = randomWeights(config, {}, gaussian);
    for (const name of [...weights.keys()].filter((own) => /^layers\.1\..*kv_proj_/.test(own))) {
      weights.delete(name);
    }
    for (const [name, weight] of shared) {
      if (name.startsWith('layers.1.')) weights.set(name, weight);
    }
    const decoder = await loadDecoder(config, readerOf(weights));
    const cache = decoder.createCache(1);
    await expect(RecordedDecode.record(decoder, cache)).rejects.toThrow(
      /got vision,text in layer 0 and all in layer 1/,
    );
    cache.dispose();
    decoder.dispose();
  });
});

test('another backend is refused', async () => {
  await tf.setBackend('wasm');
  const decoder = await load({});
  const cache = decoder.createCache(1);
  await expect(RecordedDecode.record(decoder, cache)).rejects.toThrow('must be webgpu, got wasm');
  cache.dispose();
  decoder.dispose();
});
