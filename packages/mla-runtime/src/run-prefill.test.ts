/** Laws of a prompt in pieces, and of prompts that go on from a cache. */
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import {
  type CacheOptions,
  type Decoder,
  type DecoderCache,
  type DecoderConfig,
  type DecoderPrefillOptions,
  loadDecoder,
  PADDING,
  prefillStep,
  TEXT,
  VISION,
} from './index';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
  readerOf,
} from './random-weights.reference';

/** f32 sums in another order: off by 3e-6 at most on values of size 3. */
const F32 = { abs: 6e-6 };
/** Sums in another order may round a latent to the next half, 2e-3 away. */
const closeOf = (kvBits: number | undefined) => (kvBits === 16 ? { abs: 1e-4 } : F32);

const [P, T, V] = [PADDING, TEXT, VISION];
/** A turn with a picture, then one with two; the second row is shorter. */
const ROWS = [
  [T, T, V, V, V, T, T, V, V, T, V, T],
  [P, P, P, T, V, V, T, T, V, T, T, T],
];
const LENGTH = 12;

const FORMS: [string, RandomDecoderOptions][] = [
  ['original, GQA', { form: 'original' }],
  ['original, M-RoPE', { form: 'original', mropeSection: [1, 2, 1] }],
  ['partial RoPE', { form: 'none' }],
  ['joint, shared', {}],
  ['joint, decoupled', { decoupled: true }],
  ['joint, decoupled, M-RoPE', { decoupled: true, mropeSection: [2, 1, 1] }],
  ['2 groups of 4 heads', { decoupled: true, groups: 2, numKeyValueHeads: 4 }],
  ['split', { form: 'split', decoupled: true }],
  ['values only, shared', { form: 'value' }],
  ['no pair turned', { decoupled: true, qkRopeHeadDim: 0 }],
  ['all pairs turned', { decoupled: true, qkRopeHeadDim: 8 }],
  ['latent of width 0', { decoupled: true, latent: 0 }],
];

interface Prompt {
  embeds: tf.Tensor3D;
  kinds: readonly number[][];
  positions: Int32Array;
}

const load = (options: RandomDecoderOptions) => {
  const config = randomConfig(options);
  return loadDecoder(config, readerOf(randomWeights(config, options, gaussian)));
};

/** The columns from `start` to before `end` of rows, with embeddings that are NaN at padding. */
function promptOf(
  { hiddenSize, mropeSection }: DecoderConfig,
  rows: readonly number[][],
  start = 0,
  end = rows[0]!.length,
): Prompt {
  const length = rows[0]!.length;
  const values = gaussian(rows.length * length * hiddenSize, 99);
  const kinds = rows.map((row) => row.slice(start, end));
  const columns = Array.from({ length: end - start }, (_, i) => start + i);
  const embeds = rows.flatMap((row, b) =>
    columns.flatMap((t) => {
      const at = (b * length + t) * hiddenSize;
      const own = [...values.subarray(at, at + hiddenSize)];
      return row[t] === P ? own.map(() => Number.NaN) : own;
    }),
  );
  const positions = Array.from({ length: mropeSection ? 3 : 1 }, (_, axis) =>
    rows.flatMap((row) => {
      const padded = row.filter((kind) => kind === P).length;
      return columns.map((t) => Math.max(0, t - padded + axis * (t % 3)));
    }),
  );
  const shape: [number, number, number] = [rows.length, columns.length, hiddenSize];
  return {
    embeds: tf.tensor3d(embeds, shape),
    kinds,
    positions: Int32Array.from(positions.flat()),
  };
}

/** Hidden states [B][L][D] of a prefill; disposes the prompt. */
async function run(decoder: Decoder, prompt: Prompt, options: DecoderPrefillOptions = {}) {
  const { embeds, kinds, positions } = prompt;
  const [batch, length] = [kinds.length, kinds[0]!.length];
  const layout = { batch, length, kinds: Uint8Array.from(kinds.flat()) };
  const step = prefillStep(layout, positions, decoder.config);
  try {
    const hidden = await decoder.prefill(embeds, step, options);
    const values = (await hidden.array()) as number[][][];
    hidden.dispose();
    return values;
  } finally {
    step.dispose();
    embeds.dispose();
  }
}

/** Hidden states of what is no padding, row by row. */
const real = (states: number[][][], rows: readonly number[][]) =>
  states.flatMap((row, b) => row.filter((_, t) => rows[b]![t] !== P)).flat();

/** Logits of one more token a row, said by a fork. */
async function next(decoder: Decoder, cache: DecoderCache): Promise<number[]> {
  const fork = cache.fork();
  const axes = decoder.config.mropeSection ? 3 : 1;
  const positions = Array.from({ length: axes }, () => [...cache.lengths]).flat();
  const ids = Int32Array.from(cache.lengths, (_, row) => 3 + row);
  const logits = decoder.decode(ids, Int32Array.from(positions), fork);
  const values = [...(await logits.data())];
  logits.dispose();
  fork.dispose();
  return values;
}

/** The states of all columns when a cache takes them in the turns that end at `ends`. */
async function inTurns(
  decoder: Decoder,
  rows: readonly number[][],
  ends: readonly number[],
  cacheOptions: CacheOptions = {},
  pieceLength?: number,
) {
  const cache = decoder.createCache(rows.length, { groupSize: 4, blockLength: 3, ...cacheOptions });
  const states: number[][][] = rows.map(() => []);
  for (const [i, end] of ends.entries()) {
    const prompt = promptOf(decoder.config, rows, ends[i - 1] ?? 0, end);
    const turn = await run(decoder, prompt, { cache, pieceLength });
    for (const [row, tokens] of turn.entries()) states[row]!.push(...tokens);
  }
  const logits = await next(decoder, cache);
  const { lengths } = cache;
  cache.dispose();
  return { states: real(states, rows), logits, lengths: [...lengths] };
}

describeBackends('a prompt in pieces', () => {
  test.each(FORMS)('%s: of any length, equals the prompt at once', async (_, options) => {
    const decoder = await load(options);
    const whole = await inTurns(decoder, ROWS, [LENGTH]);
    for (const pieceLength of [1, 5, 7, 11]) {
      const pieces = await inTurns(decoder, ROWS, [LENGTH], {}, pieceLength);
      expectClose(pieces.states, whole.states, F32);
      expectClose(pieces.logits, whole.logits, F32);
      expect(pieces.lengths).toEqual(whole.lengths);
    }
    decoder.dispose();
  });

  test.each([16, 8, 4] as const)(
    '%i bits: leaves what the prompt at once leaves',
    async (kvBits) => {
      const decoder = await load({ decoupled: true });
      const whole = await inTurns(decoder, ROWS, [LENGTH], { kvBits });
      for (const pieceLength of [1, 5]) {
        const pieces = await inTurns(decoder, ROWS, [LENGTH], { kvBits }, pieceLength);
        expectClose(pieces.states, whole.states, closeOf(kvBits));
        expectClose(pieces.logits, whole.logits, closeOf(kvBits));
      }
      decoder.dispose();
    },
  );

  test('of more than a block of queries, and without a cache', async () => {
    const decoder = await load({ decoupled: true, numHiddenLayers: 1 });
    const rows = [Array.from({ length: 600 }, (_, t) => (t > 9 && t < 400 ? V : T))];
    const whole = real(await run(decoder, promptOf(decoder.config, rows)), rows);
    for (const pieceLength of [150, 300, 512]) {
      const states = await run(decoder, promptOf(decoder.config, rows), { pieceLength });
      expectClose(real(states, rows), whole, F32);
    }
    decoder.dispose();
  });

  test('shows each layer once, whole', async () => {
    const decoder = await load({});
    const shown: string[] = [];
    const onHidden = (index: number, { shape }: tf.Tensor3D) => shown.push(`${index}: ${shape}`);
    const onProgress = ({ loaded, total }: { loaded: number; total: number }) =>
      shown.push(`${loaded} of ${total}`);
    const options = { pieceLength: 5, onHidden, onProgress };
    await run(decoder, promptOf(decoder.config, ROWS), options);
    const shape = `2,${LENGTH},24`;
    expect(shown).toEqual([`0: ${shape}`, `1: ${shape}`, '1 of 2', `2: ${shape}`, '2 of 2']);
    decoder.dispose();
  });
});

describeBackends('further tokens over a cache', () => {
  test.each(FORMS)('%s: turns equal one prefill of the conversation', async (_, options) => {
    const decoder = await load(options);
    const whole = await inTurns(decoder, ROWS, [LENGTH]);
    for (const ends of [
      [6, LENGTH],
      [4, 5, 9, LENGTH],
      [3, LENGTH],
    ]) {
      for (const pieceLength of [undefined, 4]) {
        const turns = await inTurns(decoder, ROWS, ends, {}, pieceLength);
        expectClose(turns.states, whole.states, F32);
        expectClose(turns.logits, whole.logits, F32);
        expect(turns.lengths).toEqual(whole.lengths);
      }
    }
    decoder.dispose();
  });

  test.each([undefined, 16, 8, 4] as const)('%s bits: at once equal one by one', async (kvBits) => {
    for (const options of [{ decoupled: true }, { form: 'original' as const }]) {
      const decoder = await load(options);
      const oneByOne = [5, 6, 7, 8, 9, 10, 11, 12];
      const single = await inTurns(decoder, ROWS, oneByOne, { kvBits });
      for (const pieceLength of [undefined, 3]) {
        const atOnce = await inTurns(decoder, ROWS, [5, LENGTH], { kvBits }, pieceLength);
        expectClose(atOnce.states, single.states, closeOf(kvBits));
        expectClose(atOnce.logits, single.logits, closeOf(kvBits));
      }
      decoder.dispose();
    }
  });

  test.each([undefined, 4] as const)(
    '%s bits: rewound it is one that never knew more',
    async (kvBits) => {
      const cacheOptions = { kvBits, groupSize: 4, blockLength: 3 };
      for (const options of [{ decoupled: true }, { form: 'original' as const }]) {
        const decoder = await load(options);
        const { config } = decoder;
        const cache = decoder.createCache(2, cacheOptions);
        await run(decoder, promptOf(config, ROWS), { cache });
        const fork = cache.fork();
        const whole = await next(decoder, cache);
        for (const column of [9, 5]) {
          const kept = ROWS.map((row) => row.slice(0, column).filter((kind) => kind !== P).length);
          cache.rewind(kept);
          expect([...cache.lengths]).toEqual(kept);
          expect(cache.bytes.nominal.total).toBeLessThan(fork.bytes.nominal.total);
          const alone = await inTurns(decoder, ROWS, [column], cacheOptions);
          expectClose(await next(decoder, cache), alone.logits, F32);
        }
        await run(decoder, promptOf(config, ROWS, 5), { cache });
        const turns = await inTurns(decoder, ROWS, [5, LENGTH], cacheOptions);
        expectClose(await next(decoder, cache), turns.logits, F32);
        expect(await next(decoder, fork)).toEqual(whole);
        for (const part of [cache, fork, decoder]) part.dispose();
      }
    },
  );

  test.each([
    ['in the first prompt', 0, undefined],
    ['between pieces of it', 0, 5],
    ['in a further one', 6, undefined],
    ['between pieces of that', 6, 2],
  ])('an abort %s leaves the cache as it was, and no tensor', async (_, start, pieceLength) => {
    const decoder = await load({ decoupled: true });
    const cache = decoder.createCache(2, { kvBits: 8, groupSize: 4 });
    if (start > 0) await run(decoder, promptOf(decoder.config, ROWS, 0, start), { cache });
    const expected = start > 0 ? await next(decoder, cache) : [];
    const before = [...cache.lengths];
    for (const calls of [0, 1]) {
      await expectNoLeak(async () => {
        const controller = new AbortController();
        let heard = 0;
        const onHidden = () => {
          if (heard++ === calls) controller.abort(new Error('enough'));
        };
        const { signal } = controller;
        const prompt = promptOf(decoder.config, ROWS, start);
        const options = { cache, signal, pieceLength, onHidden };
        await expect(run(decoder, prompt, options)).rejects.toThrow('enough');
        expect([...cache.lengths]).toEqual(before);
        if (start === 0) expect(cache.allocatedBytes).toBe(0);
        else expect(await next(decoder, cache)).toEqual(expected);
        decoder.refresh();
      });
    }
    cache.dispose();
    decoder.dispose();
  });

  test('turns, pieces and a rewind leave no tensors behind', () =>
    expectNoLeak(async () => {
      const decoder = await load({ decoupled: true });
      const cache = decoder.createCache(2);
      await run(decoder, promptOf(decoder.config, ROWS, 0, 6), { cache, pieceLength: 4 });
      await run(decoder, promptOf(decoder.config, ROWS, 6), { cache, pieceLength: 4 });
      cache.rewind([3, 0]);
      await next(decoder, cache);
      for (const part of [cache, decoder]) part.dispose();
    }));
});

describe('is refused', () => {
  test.each([0, 1.5, Number.NaN])('a piece of %s tokens', async (pieceLength) => {
    const decoder = await load({});
    await expect(run(decoder, promptOf(decoder.config, ROWS), { pieceLength })).rejects.toThrow(
      /pieceLength must be a positive integer, got/,
    );
    decoder.dispose();
  });

  test.each([[[3]], [[3, 10]], [[-1, 0]], [[1.5, 1]]])('to rewind to %j', async (lengths) => {
    const decoder = await load({});
    const cache = decoder.createCache(2);
    await run(decoder, promptOf(decoder.config, ROWS), { cache });
    expect(() => cache.rewind(lengths)).toThrow(
      `DecoderCache: rewind must keep 0 to 12, 9 tokens of the rows, got ${lengths.join(', ')}.`,
    );
    cache.dispose();
    decoder.dispose();
  });
});
