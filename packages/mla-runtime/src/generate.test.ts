import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import {
  argMax,
  type Decoder,
  type GenerateInputs,
  type GenerateOptions,
  generate,
  loadDecoder,
  PADDING,
  prefillStep,
  TEXT,
  textLayout,
  VISION,
} from './index';
import { randomConfig, randomWeights, readerOf } from './random-weights.reference';

const OPTIONS = { decoupled: true };
const CONFIG = randomConfig(OPTIONS);
const ROWS = [
  [TEXT, VISION, VISION, TEXT],
  [PADDING, PADDING, VISION, TEXT],
];

/** Run the whole sequence of a row again and take the most likely next token, or all logits. */
async function fromScratch(decoder: Decoder, ids: number[], kinds: number[]) {
  const length = ids.length;
  const layout = { batch: 1, length, kinds: Uint8Array.from(kinds) };
  const step = prefillStep(layout, Int32Array.from(ids.keys()), CONFIG);
  const embeds = decoder.embed(Int32Array.from(ids), [1, length]);
  const hidden = await decoder.prefill(embeds, step);
  const logits = decoder.logits(hidden);
  const last = ((await logits.data()) as Float32Array).slice(-CONFIG.vocabSize);
  tf.dispose([embeds, hidden, logits]);
  step.dispose();
  return last;
}

describeBackends('generate', () => {
  let decoder: Decoder;

  beforeAll(async () => {
    decoder = await loadDecoder(CONFIG, readerOf(randomWeights(CONFIG, OPTIONS, gaussian)));
    return () => decoder.dispose();
  });

  const idOf = (row: number, t: number) => (7 * row + 3 * t + 1) % CONFIG.vocabSize;

  function inputsOf(rows = ROWS): GenerateInputs & { dispose(): void } {
    const [batch, length] = [rows.length, rows[0]!.length];
    const kinds = Uint8Array.from(rows.flat());
    const starts = rows.map((row) => row.filter((kind) => kind === PADDING).length);
    const ids = rows.flatMap((row, b) => row.map((_, t) => idOf(b, t)));
    const inputsEmbeds = decoder.embed(Int32Array.from(ids), [batch, length]);
    return {
      inputsEmbeds,
      layout: { batch, length, kinds },
      positionIds: Int32Array.from(ids, (_, i) =>
        Math.max(0, (i % length) - starts[Math.floor(i / length)]!),
      ),
      nextPositions: Int32Array.from(starts, (start) => length - start),
      dispose: () => inputsEmbeds.dispose(),
    };
  }

  async function tokensOf(options: GenerateOptions, rows = ROWS): Promise<number[][]> {
    const inputs = inputsOf(rows);
    const steps: number[][] = [];
    for await (const { tokens } of generate(decoder, inputs, options)) steps.push([...tokens]);
    inputs.dispose();
    return steps;
  }

  test('greedy tokens are those of whole runs from scratch, row by row', async () => {
    const steps = await tokensOf({ maxTokens: 6 });
    expect(steps.length).toBe(6);
    for (const [row, all] of ROWS.entries()) {
      const kinds = all.filter((kind) => kind !== PADDING);
      const ids = all.flatMap((kind, t) => (kind === PADDING ? [] : [idOf(row, t)]));
      for (const tokens of steps) {
        const expected = argMax(await fromScratch(decoder, ids, kinds));
        expect(tokens[row]).toBe(expected);
        ids.push(expected);
        kinds.push(TEXT);
      }
    }
  });

  test('a row stops after its end token, gives -1 then, and changes nothing for others', async () => {
    const free = await tokensOf({ maxTokens: 6 });
    const end = free[1]![0]!; // what row 0 says second
    const ends = [0, 1].map((row) => free.findIndex((tokens) => tokens[row] === end));
    const steps = await tokensOf({ maxTokens: 6, eosTokenIds: [end] });
    const last = ends.includes(-1) ? 6 : Math.max(...ends) + 1;
    const expected = free
      .slice(0, last)
      .map((tokens, t) =>
        tokens.map((token, row) => (ends[row]! >= 0 && t > ends[row]! ? -1 : token)),
      );
    expect(steps).toEqual(expected);
  });

  test('ends once every row has stopped', async () => {
    const [first] = await tokensOf({ maxTokens: 1 });
    expect(await tokensOf({ maxTokens: 6, eosTokenIds: first })).toEqual([first]);
  });

  test('sampling draws from the logits that it gives, by the seed', async () => {
    const seeded = () => {
      const uniform = [0.9, 0.1, 0.5, 0.7, 0.3, 0.99];
      return () => uniform.shift()!;
    };
    const options = { maxTokens: 3, temperature: 2, topK: 5 };
    const a = await tokensOf({ ...options, random: seeded() });
    expect(await tokensOf({ ...options, random: seeded() })).toEqual(a);
    expect(a).not.toEqual(await tokensOf({ maxTokens: 3 }));
  });

  test('a seed gives its text, and a row of a batch what it gives alone', async () => {
    const options = { maxTokens: 6, temperature: 2, seed: 7 };
    const both = await tokensOf(options);
    expect(await tokensOf(options)).toEqual(both);
    expect(await tokensOf({ ...options, seed: 8 })).not.toEqual(both);
    const alone = await tokensOf(options, ROWS.slice(0, 1));
    expect(alone).toEqual(both.map(([first]) => [first]));
  });

  test.each([undefined, 2])(
    'goes on from a cache as from the whole, pieces of %s tokens',
    async (pieceLength) => {
      const inputs = inputsOf();
      const cache = decoder.createCache(2);
      const steps: number[][] = [];
      const options = { maxTokens: 3, pieceLength, cache };
      for await (const { tokens } of generate(decoder, inputs, options)) steps.push([...tokens]);
      // All that was said but the last tokens, which now come as a prompt.
      expect([...cache.lengths]).toEqual([4 + 2, 2 + 2]);
      const inputsEmbeds = decoder.embed(Int32Array.from(steps[2]!), [2, 1]);
      const positionIds = Int32Array.from(cache.lengths);
      const next = {
        inputsEmbeds,
        layout: textLayout(2, 1),
        positionIds,
        nextPositions: positionIds.map((position) => position + 1),
      };
      for await (const { tokens } of generate(decoder, next, options)) steps.push([...tokens]);
      expect(steps).toEqual(await tokensOf({ maxTokens: 6 }));
      for (const part of [inputs, inputsEmbeds, cache]) part.dispose();
    },
  );

  test('ends where the context window is full, and refuses a prompt that fills it', async () => {
    const free = await tokensOf({ maxTokens: 6 });
    expect(await tokensOf({ maxTokens: 6, contextWindow: 7 })).toEqual(free.slice(0, 3));
    const inputs = inputsOf();
    const cache = decoder.createCache(2);
    const onProgress = () => expect.unreachable();
    await expect(
      generate(decoder, inputs, { contextWindow: 4, cache, onProgress }).next(),
    ).rejects.toMatchObject({
      name: 'ContextFullError',
      code: 'context-full',
      tokens: 4,
      contextWindow: 4,
      message: expect.stringContaining('context window of 4 tokens, got a prompt of 4.'),
    });
    for await (const _ of generate(decoder, inputs, { maxTokens: 1, cache }));
    await expect(
      generate(decoder, inputs, { contextWindow: 8, cache }).next(),
    ).rejects.toMatchObject({ tokens: 8 });
    for (const part of [inputs, cache]) part.dispose();
  });

  test('a repetition penalty keeps a row from what it has said, its prompt included', async () => {
    const options = { maxTokens: 5, repetitionPenalty: 1e6 };
    const rowsOf = (steps: number[][]) => ROWS.map((_, row) => steps.map((step) => step[row]!));
    const free = rowsOf(await tokensOf({ maxTokens: 5 }));
    const prompts = free.map((row) => [row[0]!]);
    for (const [row, tokens] of rowsOf(await tokensOf(options)).entries()) {
      expect(new Set(tokens).size).toBe(5);
      expect(tokens[0]).toBe(free[row]![0]);
    }
    const prompted = rowsOf(await tokensOf({ ...options, promptIds: prompts }));
    for (const [row, tokens] of prompted.entries()) {
      expect(new Set([...tokens, ...prompts[row]!]).size).toBe(6);
    }
  });

  test.each([undefined, 8] as const)('over a cache of %s bits a fork goes on', async (kvBits) => {
    const inputs = inputsOf();
    const seen: Float32Array[] = [];
    for await (const { tokens, cache } of generate(decoder, inputs, {
      maxTokens: 2,
      cache: { kvBits, groupSize: 4 },
    })) {
      const fork = cache.fork();
      const positions = inputs.nextPositions.map((position) => position + seen.length);
      const logits = decoder.decode(tokens, positions, fork);
      seen.push((await logits.data()) as Float32Array);
      logits.dispose();
      fork.dispose();
    }
    const steps: Float32Array[] = [];
    const again = { maxTokens: 3, cache: { kvBits, groupSize: 4 } };
    for await (const { logits } of generate(decoder, inputs, again)) steps.push(logits);
    expect(seen).toEqual(steps.slice(1));
    inputs.dispose();
  });

  test.each(['before', 'in prefill', 'in decode', 'while the loop holds a step'])(
    'abort %s rejects with the reason and leaves no tensors',
    async (when) => {
      const inputs = inputsOf();
      const reason = new Error('stop');
      await expectNoLeak(async () => {
        const controller = new AbortController();
        const stop = () => controller.abort(reason);
        if (when === 'before') stop();
        const onProgress = () => when === 'in prefill' && setTimeout(stop);
        let steps = 0;
        const run = async () => {
          const { signal } = controller;
          for await (const _ of generate(decoder, inputs, { maxTokens: 50, signal, onProgress })) {
            steps++;
            if (when === 'in decode') setTimeout(stop);
            if (when.startsWith('while') && steps === 2) stop();
          }
        };
        await expect(run()).rejects.toBe(reason);
        expect(steps).toBeLessThan(50);
        if (!when.startsWith('while') && when !== 'in decode') expect(steps).toBe(0);
        decoder.refresh();
      });
      inputs.dispose();
    },
  );

  test('leaving the loop frees the cache, and the next answer is the same', async () => {
    const expected = await tokensOf({ maxTokens: 3 });
    const inputs = inputsOf();
    await expectNoLeak(async () => {
      for await (const _ of generate(decoder, inputs)) break;
      decoder.refresh();
    });
    inputs.dispose();
    expect(await tokensOf({ maxTokens: 3 })).toEqual(expected);
  });

  test.each<[string, GenerateOptions, number[][], RegExp]>([
    ['maxTokens 0', { maxTokens: 0 }, ROWS, /maxTokens must be a positive integer, got 0/],
    ['maxTokens NaN', { maxTokens: Number.NaN }, ROWS, /maxTokens .* got NaN/],
    ['temperature NaN', { temperature: Number.NaN }, ROWS, /temperature .* got NaN/],
    ['no random', { temperature: 1 }, ROWS, /expected `random`/],
    ['topP', { topP: 2 }, ROWS, /topP/],
    [
      'right padding',
      {},
      [
        [TEXT, TEXT],
        [TEXT, PADDING],
      ],
      /left-padded .* end of row 1/,
    ],
  ])('%s is refused before any work', async (_, options, rows, message) => {
    const inputs = inputsOf(rows);
    const onProgress = () => expect.unreachable();
    await expect(generate(decoder, inputs, { ...options, onProgress }).next()).rejects.toThrow(
      message,
    );
    const wrong = { ...inputs, nextPositions: new Int32Array(5) };
    if (rows === ROWS) {
      await expect(generate(decoder, wrong, { maxTokens: 1 }).next()).rejects.toThrow(/got 5/);
    }
    inputs.dispose();
  });
});
