/** A recorded step in generation: the tokens and the cache of the composed one, wherever it is taken. */

import type { StaticSpec } from '@mha2mla/kv-quant';
import { describeWebGpu, expectClose, expectNoLeak, gaussian, openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test, vi } from 'vitest';
import type { CacheOptions } from './cache/cache-options';
import type { DecoderCache } from './cache/decoder-cache';
import { openDecodePath } from './decode-path';
import type { Decoder } from './decoder';
import { type GenerateInputs, type GenerateOptions, generate } from './generate';
import { loadDecoder } from './load-decoder';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
  readerOf,
} from './random-weights.reference';
import { PADDING as P, TEXT as T, VISION as V } from './token-layout';

const KINDS = [T, V, V, V, T, V, T];

async function load(options: RandomDecoderOptions): Promise<Decoder> {
  const config = randomConfig(options);
  return loadDecoder(config, readerOf(randomWeights(config, options, gaussian)));
}

/** Prompts, left-padded to the longest, or further turns behind `start` tokens. */
function inputsOf(decoder: Decoder, prompts = [KINDS], start = 0): GenerateInputs {
  const batch = prompts.length;
  const length = Math.max(...prompts.map((kinds) => kinds.length));
  const axes = decoder.config.mropeSection ? 3 : 1;
  const kinds = prompts.flatMap((own) => [...new Array(length - own.length).fill(P), ...own]);
  const place = kinds.map(
    (_, i) => (i % length) - length + prompts[Math.floor(i / length)]!.length,
  );
  return {
    inputsEmbeds: decoder.embed(
      Int32Array.from(place, (t) => (5 * Math.max(t + start, 0) + 3) % 19),
      [batch, length],
    ),
    layout: { batch, length, kinds: Uint8Array.from(kinds) },
    positionIds: Int32Array.from({ length: axes * batch * length }, (_, i) => {
      const [axis, token] = [Math.floor(i / (batch * length)), i % (batch * length)];
      return Math.max(start + place[token]!, 0) + (kinds[token] === V ? axis : 0);
    }),
    nextPositions: Int32Array.from(
      { length: axes * batch },
      (_, i) => start + prompts[i % batch]!.length,
    ),
  };
}

interface Run {
  /** Of each step, of each row. */
  tokens: number[][];
  logits: Float32Array[];
  /** Of each step but the first. */
  decodedBy: (string | undefined)[];
}

async function run(
  decoder: Decoder,
  options: GenerateOptions,
  inputs = inputsOf(decoder),
  look: (cache: DecoderCache) => void = () => {},
): Promise<Run> {
  const found: Run = { tokens: [], logits: [], decodedBy: [] };
  for await (const { tokens, logits, cache, decodedBy } of generate(decoder, inputs, options)) {
    found.tokens.push([...tokens]);
    found.logits.push(logits);
    found.decodedBy.push(decodedBy);
    look(cache);
  }
  inputs.inputsEmbeds.dispose();
  expect(found.decodedBy.shift()).toBeUndefined();
  return found;
}

/** All that a cache holds, as f32. */
async function vectorsOf(decoder: Decoder, cache: DecoderCache): Promise<number[]> {
  const values: number[] = [];
  for (const [i, layer] of cache.layers.entries()) {
    for (const segment of decoder.layers[i]!.attention.segments) {
      for (const part of layer.partsOf(segment).flatMap((own) => own.read())) {
        values.push(...(await part.data()));
        part.dispose();
      }
    }
  }
  return values;
}

/** All but what op by op keeps to look angles up. */
function heldBytes({ bytes: { nominal, allocated } }: DecoderCache) {
  const { codes, params, exact, copies } = allocated;
  return { nominal, codes, params, exact, copies };
}

const DECOUPLED = { decoupled: true };
const DRAWN = { temperature: 1, topP: 0.9, repetitionPenalty: 1.3, seed: 5 };
/** Compiling the programs of a test takes a software adapter seconds, and minutes where it is busy. */
const TIMEOUT_MS = 300_000;
const MROPE = { ...DECOUPLED, mropeSection: [2, 1, 1] };
/** Whose rotary keys have no bias. */
const NO_BIAS = { ...DECOUPLED, without: ['k_r_proj'] };
const SHARED = { groups: 2, numKeyValueHeads: 4, without: ['k_r_proj'] };
/** Of 12 channels that one vector has, or two. */
function fixedScales(seed: number, vectors = 1): StaticSpec {
  const bands =
    vectors === 1
      ? ([8, 0, 3, 4] as const).map((bits) => ({ bits, channels: 3 }))
      : [{ bits: 4 as const, channels: 6 }];
  const scales = gaussian(12, seed).map((value) => 0.2 + Math.abs(value) / 8);
  return { method: 'static', bands, scales, zeros: scales.map((scale) => -6 * scale) };
}
const FORMS: [string, RandomDecoderOptions, CacheOptions?][] = [
  ['a latent a modality, M-RoPE', MROPE],
  ['a shared latent in groups', { groups: 2, numKeyValueHeads: 4 }],
  ['keys and values, M-RoPE', { form: 'original', mropeSection: [2, 1, 1] }],
  [
    'keys, partly turned, and values in codes, and a window',
    { form: 'none' },
    { kvBits: 4, groupSize: 5, residualLength: 3 },
  ],
  ['codes of 4 bits, keys of 8', NO_BIAS, { kvBits: 4, groupSize: 5 }],
  ['codes of 2 bits, and a window', NO_BIAS, { kvBits: 2, residualLength: 3 }],
  ['codes of 3 bits of a shared latent in groups', SHARED, { kvBits: 3, groupSize: 4 }],
  [
    'fitted zero points of codes of 4 bits, and a window',
    NO_BIAS,
    { kvBits: 4, kvMethod: 'hqq', groupSize: 5, residualLength: 3 },
  ],
  ['keys and values in 8 bits about zero', { form: 'original' }, { kvBits: 8, kvMethod: 'int8' }],
  [
    'latents of fixed scales in bands, and a window',
    NO_BIAS,
    {
      ...{ kvBits: 4, kvMethod: 'bands', residualLength: 3 },
      latentSpecs: [7, 9].map((seed) => ({
        vision: fixedScales(seed),
        text: fixedScales(seed + 1),
      })),
    },
  ],
  ['halves, and a window longer than the text', NO_BIAS, { kvBits: 16, residualLength: 20 }],
  [
    'a bias of keys that are packed of pictures alone, and a window',
    MROPE,
    { kvBits: { vision: 8 }, ropeBits: undefined, residualLength: 3 },
  ],
  ['a shared latent, packed keys with a bias', { groups: 2, numKeyValueHeads: 4 }, { kvBits: 8 }],
  [
    'bits by layer and by modality, and a window',
    NO_BIAS,
    {
      layers: { 0: {}, 1: { kvBits: { vision: 4, text: 8 }, ropeBits: 4 } },
      residualLength: 2,
      blockLength: 3,
    },
  ],
];

/** Rows that are the longest of one modality or of the other, and one that has no picture. */
const PROMPTS = [KINDS, [V, T], [T, T, V, T, T, T], [T]];

/** Six tokens of each row, and the cache that they leave; on the backend of the decoder. */
async function runOver(
  decoder: Decoder,
  prompts: number[][],
  draw: GenerateOptions,
  stored?: CacheOptions,
) {
  const cache = decoder.createCache(prompts.length, stored);
  const options = { ...draw, maxTokens: 6, cache };
  const found = await run(decoder, options, inputsOf(decoder, prompts));
  const left = { lengths: [...cache.lengths], bytes: heldBytes(cache) };
  const vectors = await vectorsOf(decoder, cache);
  cache.dispose();
  return { ...found, left, vectors };
}

/** The same tokens, logits and cache, recorded and op by op, the latter on wasm, which compiles nothing. */
async function expectSamePath(
  of: RandomDecoderOptions,
  asked: readonly (readonly [number[][], GenerateOptions])[],
  stored?: CacheOptions,
) {
  const runs: Awaited<ReturnType<typeof runOver>>[][] = [];
  for (const backend of ['wasm', 'webgpu']) {
    await tf.setBackend(backend);
    const decoder = await load(of);
    const found = [];
    for (const [prompts, draw] of asked) found.push(await runOver(decoder, prompts, draw, stored));
    runs.push(found);
    decoder.dispose();
  }
  for (const [i, recorded] of runs[1]!.entries()) {
    const composed = runs[0]![i]!;
    expect(recorded.tokens).toEqual(composed.tokens);
    expect(recorded.decodedBy).toEqual(new Array(5).fill('recorded'));
    expect(composed.decodedBy).toEqual(new Array(5).fill('composed'));
    // Float32 through two layers, sums in another order; logits of size 3.
    for (const [step, logits] of recorded.logits.entries()) {
      expectClose(logits, composed.logits[step]!, { abs: 1e-5 });
    }
    expectClose(recorded.vectors, composed.vectors, { abs: 1e-5 });
    expect(recorded.left).toEqual(composed.left);
  }
}

vi.setConfig({ testTimeout: TIMEOUT_MS });

describeWebGpu('a recorded decode path', () => {
  test.each(FORMS)(
    'says what op by op says, greedy and drawn, and leaves the same cache: %s',
    async (_, options, stored) => {
      const draws = stored ? [DRAWN] : [{}, DRAWN];
      await expectSamePath(
        options,
        draws.map((draw) => [[KINDS], draw]),
        stored,
      );
    },
  );

  test.each<[string, RandomDecoderOptions, CacheOptions?]>([
    ['a shared latent in groups, codes', SHARED, { kvBits: 4 }],
    ['keys and values', { form: 'original' }],
    [
      'a shared latent of fixed scales by group',
      SHARED,
      {
        ...{ kvBits: 4, kvMethod: 'static' },
        latentSpecs: [7, 9].map((seed) => ({ all: fixedScales(seed, 2) })),
      },
    ],
    [
      'a latent a modality, packed keys with a bias, and a window',
      MROPE,
      { kvBits: 4, residualLength: 3 },
    ],
  ])('takes rows of different lengths: %s', async (_, options, stored) => {
    const fewer = [[V, T], KINDS]; // over room for more rows
    await expectSamePath(
      options,
      [PROMPTS, fewer].map((prompts) => [prompts, DRAWN]),
      stored,
    );
  });

  test('a cache can be looked at, forked, rewound and gone on from at any time', async () => {
    const all: unknown[][] = [];
    for (const backend of ['wasm', 'webgpu']) {
      await tf.setBackend(backend);
      const decoder = await load(DECOUPLED);
      const cache = decoder.createCache(1);
      const seen: unknown[] = [];
      let fork: DecoderCache | undefined;
      const look = () => {
        const { nominal, allocated } = cache.bytes;
        seen.push(nominal, [...cache.lengths], allocated.exact, allocated.codes);
        if (seen.length === 12) fork = cache.fork();
        if (seen.length === 16) cache.rewind([KINDS.length + 1]); // of the tokens behind it nothing is left
      };
      const options = { maxTokens: 6, cache };
      const first = await run(decoder, options, inputsOf(decoder), look);
      expect(cache.bytes.allocated.copies).toBe(0);
      cache.rewind([KINDS.length + 2]);
      const more = [T, V, T];
      const second = await run(
        decoder,
        { maxTokens: 4, cache },
        inputsOf(decoder, [more], KINDS.length + 2),
      );
      const third = await run(
        decoder,
        { maxTokens: 4, cache: fork! },
        inputsOf(decoder, [more], fork!.lengths[0]!),
      );
      all.push([...seen, first.tokens, second.tokens, third.tokens]);
      const decodedBy = backend === 'webgpu' ? 'recorded' : 'composed';
      expect(new Set([first, second, third].flatMap((own) => own.decodedBy))).toEqual(
        new Set([decodedBy]),
      );
      cache.dispose();
      fork!.dispose();
      decoder.dispose();
    }
    expect(all[0]).toEqual(all[1]);
  });

  test('bytes tell of the copy that a step works on', async () => {
    const decoder = await load(DECOUPLED);
    const copies: number[] = [];
    await run(decoder, { maxTokens: 4 }, inputsOf(decoder), ({ bytes, allocatedBytes }) => {
      copies.push(bytes.allocated.copies);
      expect(allocatedBytes).toBeGreaterThanOrEqual(bytes.allocated.copies);
    });
    expect(copies[0]).toBe(0);
    expect(copies[1]).toBeGreaterThan(2 * 10 * 16 * 4); // two layers, 10 tokens of 12 + 4 floats at least
    decoder.dispose();
  });

  test('goes on where its room is full', async () => {
    const decoder = await load(DECOUPLED);
    const expected = await run(decoder, { maxTokens: 6, recorded: false });
    const cache = decoder.createCache(1);
    const inputs = inputsOf(decoder);
    for await (const _ of generate(decoder, inputs, { maxTokens: 1, cache })) break;
    const path = openDecodePath(decoder, cache, { maxTokens: 5, recorded: true, room: 2 });
    for (const [i, logits] of expected.logits.slice(1).entries()) {
      const positions = inputs.nextPositions.map((position) => position + i);
      const found = await path.logits(Int32Array.from(expected.tokens[i]!), positions);
      expect(path.decodedBy).toBe('recorded');
      expectClose(found, logits, { abs: 1e-5 });
    }
    path.close();
    inputs.inputsEmbeds.dispose();
    cache.dispose();
    decoder.dispose();
  });

  test('takes up other weights', async () => {
    const decoder = await load(DECOUPLED);
    const before = await run(decoder, { maxTokens: 4 });
    const layer = decoder.layers[1]!;
    const name = 'mlp.up_proj';
    const old = layer.projections.get(name)!;
    const zeros: typeof old = {
      ...old,
      weight: () => tf.zeros([old.inFeatures, old.outFeatures]),
      apply: (x) => tf.zeros([...x.shape.slice(0, -1), old.outFeatures]),
    };
    layer.setProjection(name, zeros);
    const after = await run(decoder, { maxTokens: 4 });
    const composed = await run(decoder, { maxTokens: 4, recorded: false });
    for (const [i, logits] of after.logits.entries()) {
      expectClose(logits, composed.logits[i]!, { abs: 1e-5 });
    }
    expect(after.logits[1]).not.toEqual(before.logits[1]);
    decoder.dispose();
  });

  test('an abort leaves what was decoded in the cache, and nothing else', async () => {
    const decoder = await load(DECOUPLED);
    await expectNoLeak(async () => {
      const cache = decoder.createCache(1);
      const controller = new AbortController();
      const inputs = inputsOf(decoder);
      const steps = generate(decoder, inputs, { cache, signal: controller.signal });
      for (let i = 0; i < 3; i++) await steps.next();
      controller.abort(new Error('enough'));
      await expect(steps.next()).rejects.toThrow('enough');
      expect([...cache.lengths]).toEqual([KINDS.length + 2]);
      expect(cache.layers[0]!.part('text', 'kvLatent').length).toBe(5);
      inputs.inputsEmbeds.dispose();
      cache.dispose();
    });
    decoder.dispose();
  });

  test.each<[string, RandomDecoderOptions, CacheOptions?]>([
    ['scales over tokens', DECOUPLED, { kvBits: 4, kvMethod: 'kivi' }],
  ])('is left where there are no programs: %s', async (_, options, stored) => {
    const decoder = await load(options);
    const { decodedBy } = await run(decoder, { maxTokens: 3, cache: stored });
    expect(decodedBy).toEqual(['composed', 'composed']);
    decoder.dispose();
  });

  test('is left where memory for the weights is out, and not tried again', async () => {
    const decoder = await load(DECOUPLED);
    const { device } = await openWebGpu();
    const scopes = vi.spyOn(device, 'popErrorScope');
    scopes.mockResolvedValueOnce(new GPUOutOfMemoryError('none left'));
    for (let i = 0; i < 2; i++) {
      const { decodedBy } = await run(decoder, { maxTokens: 2 });
      expect(decodedBy).toEqual(['composed']);
    }
    expect(scopes).toHaveBeenCalledTimes(1);
    scopes.mockRestore();
    decoder.dispose();
  });
});

test('on another backend steps are composed', async () => {
  await tf.setBackend('wasm');
  const decoder = await load(DECOUPLED);
  const { decodedBy } = await run(decoder, { maxTokens: 3 });
  expect(decodedBy).toEqual(['composed', 'composed']);
  decoder.dispose();
});

describeWebGpu('a device that is lost in a recorded step', () => {
  test('is an error, never zeros', async () => {
    const decoder = await load(DECOUPLED);
    const inputs = inputsOf(decoder);
    const steps = generate(decoder, inputs);
    await steps.next();
    expect((await steps.next()).value?.decodedBy).toBe('recorded');
    const { device } = await openWebGpu();
    device.destroy();
    await expect(steps.next()).rejects.toThrow(/device lost/);
  });
});
