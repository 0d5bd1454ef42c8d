/** Laws of the decoder: naive prefill, absorbed decode and a float64 oracle agree in every form. */
import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import type { CacheOptions } from './cache/cache-options';
import type { Decoder } from './decoder';
import { type ReferenceOutput, referenceDecoder } from './decoder.reference';
import {
  type DecoderConfig,
  decodeStep,
  loadDecoder,
  prefillStep,
  type TokenLayout,
} from './index';
import {
  type RandomDecoderOptions,
  type RandomWeights,
  randomConfig,
  randomWeights,
  readerOf,
} from './random-weights.reference';
import { PADDING, TEXT, VISION } from './token-layout';

/** f32 against f64: through 2 layers, values of size 3 are off by 2.1e-6 at most. */
const F32 = { abs: 4e-6 };

const T = TEXT;
const V = VISION;
const MIXED = [T, T, V, V, V, T, V, V, T, T, T, T];
const PROMPT = 9;

interface Case {
  config: DecoderConfig;
  weights: RandomWeights;
  /** By token id. */
  ids: number[];
  kinds: number[];
  positions: number[][];
}

function randomCase(options: RandomDecoderOptions, kinds = MIXED): Case {
  const config = randomConfig(options);
  const ids = kinds.map((_, t) => (5 * t + 3) % config.vocabSize);
  const axes = options.mropeSection ? 3 : 1;
  // Axes that differ and jump, as those of pictures do.
  const positions = Array.from({ length: axes }, (_, axis) =>
    kinds.map((_, t) => t + axis * (t % 3)),
  );
  return { config, weights: randomWeights(config, options, gaussian), ids, kinds, positions };
}

function oracle({ config, weights, ids, kinds, positions }: Case): ReferenceOutput {
  const table = weights.get('embed_tokens.weight')!.values;
  const width = config.hiddenSize;
  const embeds = ids.map((id) => [...table.subarray(id * width, (id + 1) * width)]);
  return referenceDecoder(config, weights, { embeds, kinds, positions });
}

/** Hidden states [L * D] of a prefill. */
async function prefill(decoder: Decoder, { ids, kinds, positions }: Case): Promise<Float32Array> {
  const layout = { batch: 1, length: ids.length, kinds: Uint8Array.from(kinds) };
  const step = prefillStep(layout, Int32Array.from(positions.flat()), decoder.config);
  const embeds = decoder.embed(Int32Array.from(ids), [1, ids.length]);
  const hidden = await decoder.prefill(embeds, step);
  step.dispose();
  const values = (await hidden.data()) as Float32Array;
  tf.dispose([embeds, hidden]);
  return values;
}

/** Logits after the prompt, then after each further token, decoded over the cache. */
async function decode(
  decoder: Decoder,
  { ids, kinds, positions }: Case,
  promptLength = PROMPT,
  options?: CacheOptions,
): Promise<number[]> {
  const cut = (list: readonly number[]) => list.slice(0, promptLength);
  const layout = { batch: 1, length: promptLength, kinds: Uint8Array.from(cut(kinds)) };
  const cache = decoder.createCache(1, options);
  const step = prefillStep(layout, Int32Array.from(positions.flatMap(cut)), decoder.config);
  const embeds = decoder.embed(Int32Array.from(cut(ids)), [1, promptLength]);
  const hidden = await decoder.prefill(embeds, step, { cache });
  const all = decoder.logits(hidden);
  const logits = [...((await all.data()) as Float32Array).slice(-decoder.config.vocabSize)];
  for (let t = promptLength; t < ids.length; t++) {
    const at = Int32Array.from(positions, (axis) => axis[t]!);
    const next = decoder.decode(Int32Array.of(ids[t]!), at, cache);
    logits.push(...(await next.data()));
    next.dispose();
  }
  step.dispose();
  cache.dispose();
  tf.dispose([embeds, hidden, all]);
  return logits;
}

/** Largest error of the logits where only rotary keys are quantized. */
async function decodeAtRopeBits(given: Case, ropeBits: 8): Promise<number> {
  const decoder = await loadDecoder(given.config, readerOf(given.weights));
  const actual = await decode(decoder, given, PROMPT, { ropeBits, groupSize: 8 });
  const expected = oracle(given).logits.slice((PROMPT - 1) * given.config.vocabSize);
  decoder.dispose();
  return Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)));
}

const FORMS: [string, RandomDecoderOptions][] = [
  ['original, GQA', { form: 'original' }],
  ['original, MHA', { form: 'original', numKeyValueHeads: 4 }],
  ['original, M-RoPE', { form: 'original', mropeSection: [1, 2, 1] }],
  ['partial RoPE', { form: 'none' }],
  ['partial RoPE, all pairs turned', { form: 'none', qkRopeHeadDim: 8 }],
  ['joint, shared', {}],
  ['joint, decoupled', { decoupled: true }],
  ['joint, decoupled, MHA', { decoupled: true, numKeyValueHeads: 4 }],
  ['joint, decoupled, MQA', { decoupled: true, numKeyValueHeads: 1 }],
  ['joint, decoupled, M-RoPE', { decoupled: true, mropeSection: [2, 1, 1] }],
  ['joint, no key bias on vision', { decoupled: true, without: ['kv_proj_img.up_k'] }],
  ['joint, no key bias on text', { decoupled: true, without: ['kv_proj_text.up_k'] }],
  ['joint, no up bias', { decoupled: true, without: ['up_k', 'up_v'] }],
  ['2 groups of 4 heads', { decoupled: true, groups: 2, numKeyValueHeads: 4 }],
  ['a group for each head', { decoupled: true, groups: 4, numKeyValueHeads: 4 }],
  ['a group for each head, shared, GQA', { groups: 2 }],
  ['split', { form: 'split', decoupled: true }],
  ['keys only', { form: 'key', decoupled: true }],
  ['values only', { form: 'value', decoupled: true }],
  ['values only, shared', { form: 'value' }],
  ['no pair turned', { decoupled: true, qkRopeHeadDim: 0 }],
  ['all pairs turned', { decoupled: true, qkRopeHeadDim: 8 }],
  ['values only, all pairs turned', { form: 'value', decoupled: true, qkRopeHeadDim: 8 }],
  ['latent of width 0', { decoupled: true, latent: 0 }],
  ['latent of width 0, 2 groups', { latent: 0, groups: 2 }],
  ['latent of width 0, no pair turned', { latent: 0, qkRopeHeadDim: 0 }],
];

describeBackends('a decoder equals float64 loops', () => {
  test.each(FORMS)('%s: prefill (naive) and decode (absorbed)', async (_, options) => {
    const given = randomCase(options);
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    const expected = oracle(given);
    expectClose(await prefill(decoder, given), expected.hidden, F32);
    const { vocabSize } = given.config;
    const after = expected.logits.slice((PROMPT - 1) * vocabSize);
    expectClose(await decode(decoder, given), after, F32);
    decoder.dispose();
  });

  test.each([
    ['text only', new Array<number>(12).fill(T)],
    ['vision only', [...new Array<number>(PROMPT).fill(V), T, T, T]],
  ])('an empty segment: %s prompt', async (_, kinds) => {
    const given = randomCase({ decoupled: true }, kinds);
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    const after = oracle(given).logits.slice((PROMPT - 1) * given.config.vocabSize);
    expectClose(await decode(decoder, given), after, F32);
    decoder.dispose();
  });

  test.each([
    ['one block of queries', 256],
    ['two blocks', 257],
    ['two blocks and a longer cache than one block', 300],
  ])('a long prompt, %s', async (_, length) => {
    const kinds = Array.from({ length: length + 2 }, (_, t) =>
      t > 5 && t < 290 && t < length ? V : T,
    );
    const given = randomCase({ decoupled: true, numHiddenLayers: 1 }, kinds);
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    const expected = oracle(given);
    expectClose(await prefill(decoder, given), expected.hidden, F32);
    const after = expected.logits.slice((length - 1) * given.config.vocabSize);
    expectClose(await decode(decoder, given, length), after, F32);
    decoder.dispose();
  });

  test.each([undefined, 16, 8, 4] as const)(
    'over a cache of %s bits, decode reads what was stored, whatever the blocks',
    async (kvBits) => {
      // Of one layer: what a second stores hangs on the sums of the first, and a code may flip.
      const given = randomCase({ decoupled: true, numHiddenLayers: 1 });
      const decoder = await loadDecoder(given.config, readerOf(given.weights));
      const options = { kvBits, groupSize: 8 };
      const whole = await decode(decoder, given, PROMPT, options);
      for (const blockLength of [1, 3]) {
        const cut = await decode(decoder, given, PROMPT, { ...options, blockLength });
        expectClose(cut, whole, { abs: 2e-6 }); // sums in another order
      }
      const exact = oracle(given).logits.slice((PROMPT - 1) * given.config.vocabSize);
      // Errors of the latents (size 3, step 3 * 2 / (2^bits - 1)) measured.
      const loss = { 16: 0.01, 8: 0.1, 4: 1 }[kvBits ?? 16];
      expectClose(whole, exact, { abs: kvBits === undefined ? F32.abs : loss });
      decoder.dispose();
    },
  );

  test.each([
    ['GQA', {}],
    ['M-RoPE', { decoupled: true, mropeSection: [2, 1, 1] }],
    ['2 groups of 4 heads', { groups: 2, numKeyValueHeads: 4 }],
    ['all pairs turned', { decoupled: true, qkRopeHeadDim: 8 }],
  ])('a rotary key bias of 900 costs quantized keys nothing: %s', async (_, options) => {
    const given = randomCase(options);
    const plain = await decodeAtRopeBits(given, 8);
    for (const [name, { values }] of given.weights) {
      // On half of the dims only, so that queries and angles decide what it adds to scores.
      if (!/k_r_proj.bias$/.test(name)) continue;
      for (let i = 0; i < values.length; i += 2) values[i] = 900;
    }
    const biased = await decodeAtRopeBits(given, 8);
    // Softmax is nearly one-hot now, and less sensitive; f32 keeps 900 to within 6e-5.
    expect(biased).toBeLessThan(plain + 1e-3);
  });

  test('an exempt layer reads what it was given', async () => {
    const given = randomCase({ decoupled: true, numHiddenLayers: 1 });
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    const bits = { kvBits: 4, ropeBits: 4, groupSize: 8 } as const;
    const exempt = await decode(decoder, given, PROMPT, { ...bits, layers: { 0: {} } });
    expect(exempt).toEqual(await decode(decoder, given));
    expect(exempt).not.toEqual(await decode(decoder, given, PROMPT, bits));
    decoder.dispose();
  });

  test('one by one from the first token equals all at once', async () => {
    const given = randomCase({ decoupled: true }, new Array<number>(6).fill(T));
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    expectClose(await decode(decoder, given, 1), oracle(given).logits, F32);
    decoder.dispose();
  });

  test('layers of different forms share a cache', async () => {
    const given = randomCase({ decoupled: true });
    const other = randomCase({ form: 'none' });
    for (const [name, weight] of other.weights) {
      if (name.startsWith('layers.1.')) given.weights.set(name, weight);
    }
    for (const name of [...given.weights.keys()]) {
      if (/^layers\.1\..*kv_proj_/.test(name)) given.weights.delete(name);
    }
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    const after = oracle(given).logits.slice((PROMPT - 1) * given.config.vocabSize);
    expectClose(await decode(decoder, given), after, F32);
    decoder.dispose();
  });

  test('a vision token can be decoded', async () => {
    const given = randomCase({ decoupled: true }, [T, V, V, T, V]);
    const decoder = await loadDecoder(given.config, readerOf(given.weights));
    const head = { ...given, ids: given.ids.slice(0, 4), kinds: given.kinds.slice(0, 4) };
    const layout: TokenLayout = { batch: 1, length: 4, kinds: Uint8Array.from(head.kinds) };
    const cache = decoder.createCache(1);
    const step = prefillStep(layout, Int32Array.of(0, 1, 2, 3), given.config);
    const embeds = decoder.embed(Int32Array.from(head.ids), [1, 4]);
    const hidden = await decoder.prefill(embeds, step, { cache });
    const next = decodeStep(cache, Int32Array.of(4), given.config, 'vision');
    let x = decoder.embed(Int32Array.of(given.ids[4]!), [1, 1]);
    for (const [i, layer] of decoder.layers.entries()) x = layer.decode(x, next, cache.layers[i]!);
    expectClose(await x.data(), oracle(given).hidden.slice(-given.config.hiddenSize), F32);
    tf.dispose([embeds, hidden, x]);
    for (const part of [step, next, cache, decoder]) part.dispose();
  });
});

describeBackends('conversion without loss', () => {
  test('M-RoPE with equal axes is plain RoPE', async () => {
    const plain = randomCase({ decoupled: true });
    const [positions] = plain.positions;
    const config = { ...plain.config, mropeSection: [1, 2, 1] };
    const axes = { ...plain, config, positions: [positions!, positions!, positions!] };
    const decoders = [plain, axes].map((given) =>
      loadDecoder(given.config, readerOf(given.weights)),
    );
    const [a, b] = await Promise.all(decoders);
    expect(await prefill(a!, plain)).toEqual(await prefill(b!, axes));
    expect(await decode(a!, plain)).toEqual(await decode(b!, axes));
    a!.dispose();
    b!.dispose();
  });

  test('two equal modalities make a decoupled latent a shared one', async () => {
    const shared = randomCase({});
    const weights: RandomWeights = new Map();
    for (const [name, weight] of shared.weights) {
      for (const folder of ['kv_proj_img', 'kv_proj_text']) {
        weights.set(name.replace('kv_proj', folder), weight);
      }
    }
    const decoupled = { ...shared, weights };
    const a = await loadDecoder(shared.config, readerOf(shared.weights));
    const b = await loadDecoder(shared.config, readerOf(weights));
    expectClose(await prefill(b, decoupled), await prefill(a, shared), { abs: 0 });
    expectClose(await decode(b, decoupled), await decode(a, shared), { abs: 2e-6 }); // order of sums
    a.dispose();
    b.dispose();
  });

  test.each([
    ['partial RoPE, all pairs kept', 8, false, false],
    ['MLA of full rank, all pairs kept', 8, true, false],
    ['MLA of full rank, half the pairs, positions 0', 4, true, true],
    ['MLA of full rank, no pairs, positions 0', 0, true, true],
  ])('%s reproduces the original', async (_, rope, latent, still) => {
    const original = randomCase({ form: 'original' });
    if (still) original.positions = original.positions.map((axis) => axis.map(() => 0));
    const converted = { ...original, ...convertExactly(original, rope, latent) };
    const decoder = await loadDecoder(converted.config, readerOf(converted.weights));
    const expected = oracle(original);
    expectClose(await prefill(decoder, converted), expected.hidden, F32);
    const after = expected.logits.slice((PROMPT - 1) * original.config.vocabSize);
    expectClose(await decode(decoder, converted), after, F32);
    decoder.dispose();
  });
});

/** Split rows into turned and other dims, and put a full-rank latent between, without any loss. */
function convertExactly({ config, weights }: Case, rope: number, latent: boolean) {
  const { headDim, numKeyValueHeads: K, numHiddenLayers, numAttentionHeads: N } = config;
  const pairs = Array.from({ length: rope / 2 }, (_, i) => i);
  const turned = [...pairs, ...pairs.map((i) => i + headDim / 2)];
  const others = Array.from({ length: headDim }, (_, i) => i).filter((i) => !turned.includes(i));
  const result: RandomWeights = new Map(
    [...weights].filter(([name]) => !/self_attn\.[qkv]_proj/.test(name)),
  );
  const rows = (heads: number, dims: number[]) =>
    Array.from({ length: heads }, (_, h) => dims.map((i) => h * headDim + i)).flat();
  const take = (from: string, part: string, list: number[]) => {
    const { shape, values } = weights.get(`${from}.${part}`)!;
    const width = shape[1] ?? 1;
    const picked = list.flatMap((r) => [...values.subarray(r * width, (r + 1) * width)]);
    return { shape: [list.length, ...shape.slice(1)], values: Float32Array.from(picked) };
  };
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    const name = `layers.${layer}.self_attn`;
    const all = rows(K, [...new Array(headDim).keys()]);
    const nope = rows(K, others);
    for (const part of ['weight', 'bias']) {
      const query = [...rows(N, turned), ...rows(N, others)];
      result.set(`${name}.q_proj.${part}`, take(`${name}.q_proj`, part, query));
      result.set(`${name}.k_r_proj.${part}`, take(`${name}.k_proj`, part, rows(K, turned)));
      if (latent || others.length > 0) {
        result.set(`${name}.kv_proj.up_k.${part}`, take(`${name}.k_proj`, part, nope));
      }
      result.set(`${name}.kv_proj.up_v.${part}`, take(`${name}.v_proj`, part, all));
    }
    if (!latent) continue;
    const [key, value] = ['k', 'v'].map((s) => result.get(`${name}.kv_proj.up_${s}.weight`)!);
    const [keys, values] = [key!.shape[0]!, value!.shape[0]!];
    const width = keys + values;
    result.set(`${name}.kv_proj.down_kv.weight`, {
      shape: [width, config.hiddenSize],
      values: Float32Array.from([...key!.values, ...value!.values]),
    });
    const eye = (count: number, start: number) => ({
      shape: [count, width],
      values: Float32Array.from({ length: count * width }, (_, i) =>
        i % width === start + Math.floor(i / width) ? 1 : 0,
      ),
    });
    result.set(`${name}.kv_proj.up_k.weight`, eye(keys, 0));
    result.set(`${name}.kv_proj.up_v.weight`, eye(values, keys));
  }
  const heads = Array.from({ length: K }, () => Int32Array.from(pairs));
  const ropePairs = Array.from({ length: numHiddenLayers }, () => heads);
  return { config: { ...config, mla: { ropePairs, groups: 1 } }, weights: result };
}

describeBackends('left-padded batches', () => {
  const P = PADDING;
  const ROWS = [
    [T, V, V, V, T, T],
    [P, P, T, V, T, T],
    [P, P, P, T, T, T],
    [P, T, V, V, V, V],
  ];

  test.each([
    ['joint, decoupled', { decoupled: true }],
    ['2 groups, shared', { groups: 2 }],
    ['original', { form: 'original' as const }],
    ['partial RoPE', { form: 'none' as const }],
  ])('%s: rows equal each row alone, whatever padding holds', async (_, options) => {
    const given = randomCase(options, [...MIXED]);
    const { config } = given;
    const decoder = await loadDecoder(config, readerOf(given.weights));
    const [batch, length, width] = [ROWS.length, ROWS[0]!.length, config.hiddenSize];
    const kinds = Uint8Array.from(ROWS.flat());
    const ids = Int32Array.from(kinds, (_, i) => (7 * i + 2) % config.vocabSize);
    const starts = ROWS.map((row) => row.filter((kind) => kind === P).length);
    const positionIds = Int32Array.from(ids, (_, i) =>
      Math.max(0, (i % length) - starts[Math.floor(i / length)]!),
    );
    const table = given.weights.get('embed_tokens.weight')!.values;
    const values = Float32Array.from({ length: ids.length * width }, (_, i) => {
      const token = Math.floor(i / width);
      return kinds[token] === P ? Number.NaN : table[ids[token]! * width + (i % width)]!;
    });
    const embeds = tf.tensor3d(values, [batch, length, width]);
    const step = prefillStep({ batch, length, kinds }, positionIds, config);
    const cache = decoder.createCache(batch, { blockLength: 4 });
    const hidden = await decoder.prefill(embeds, step, { cache });
    const states = (await hidden.data()) as Float32Array;
    const next = [3, 1, 4, 1];
    const at = Int32Array.from(starts, (start) => length - start);
    const logits = [];
    for (let i = 0; i < 2; i++) {
      const decoded = decoder.decode(
        Int32Array.from(next),
        at.map((p) => p + i),
        cache,
      );
      logits.push((await decoded.data()) as Float32Array);
      decoded.dispose();
    }
    for (const [row, start] of starts.entries()) {
      const own = [
        ...ids.subarray(row * length + start, (row + 1) * length),
        next[row]!,
        next[row]!,
      ];
      const alone: Case = {
        ...given,
        ids: own,
        kinds: [...ROWS[row]!.slice(start), T, T],
        positions: [own.map((_, t) => t)],
      };
      const expected = oracle(alone);
      const count = length - start;
      const real = states.subarray((row * length + start) * width, (row + 1) * length * width);
      expectClose(real, expected.hidden.slice(0, count * width), F32);
      for (const [i, all] of logits.entries()) {
        const { vocabSize } = config;
        const after = expected.logits.slice((count + i) * vocabSize, (count + i + 1) * vocabSize);
        expectClose(all.subarray(row * vocabSize, (row + 1) * vocabSize), after, F32);
      }
    }
    expect([...cache.lengths]).toEqual(starts.map((start) => length - start + 2));
    expect(states.every(Number.isFinite)).toBe(true);
    const [outputs] = decoder.prefillSync(embeds, step).slice(-1);
    expectClose(await outputs!.data(), states, { abs: 0 });
    tf.dispose([embeds, hidden]);
    for (const part of [step, cache, decoder]) part.dispose();
  });
});
