import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import type { Decoder } from '../decoder';
import { loadDecoder, prefillStep } from '../index';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
  readerOf,
} from '../random-weights.reference';
import { PADDING, TEXT, VISION } from '../token-layout';
import { branchMask } from './branch-mask';

const TRUNK = [3, 8, 1, 4];
const TRUNK_KINDS = [TEXT, VISION, VISION, TEXT];

/** Hidden states of a row of the decoder, in order, without its padding. */
async function hiddenOf(
  decoder: Decoder,
  ids: number[],
  kinds: number[],
  positions: number[],
  branches?: number[],
): Promise<number[]> {
  const layout = { batch: 1, length: ids.length, kinds: Uint8Array.from(kinds) };
  const step = prefillStep(layout, Int32Array.from(positions), decoder.config, {
    branches: branches && Int32Array.from(branches),
  });
  const embeds = decoder.embed(Int32Array.from(ids), [1, ids.length]);
  const hidden = await decoder.prefill(embeds, step);
  const values = [...(await hidden.data())];
  step.dispose();
  tf.dispose([embeds, hidden]);
  return values.slice(kinds.indexOf(TEXT) * decoder.config.hiddenSize);
}

/** Trunk, then branches whose lengths are given, padded on the left. */
function branched(lengths: number[], padding: number) {
  const tails = lengths.map((length, i) =>
    Array.from({ length }, (_, t) => (7 * i + 5 * t + 2) % 11),
  );
  const positionsOf = (count: number) => Array.from({ length: count }, (_, t) => t);
  const tailKinds = tails.map((tail) => tail.map(() => TEXT));
  return {
    tails,
    ids: [...Array(padding).fill(0), ...TRUNK, ...tails.flat()],
    kinds: [...Array(padding).fill(PADDING), ...TRUNK_KINDS, ...tailKinds.flat()],
    positions: [
      ...Array(padding).fill(1),
      ...positionsOf(TRUNK.length),
      ...tails.flatMap((tail) => tail.map((_, t) => TRUNK.length + t)),
    ],
    branches: [
      ...Array(padding + TRUNK.length).fill(0),
      ...tails.flatMap((tail, i) => tail.map(() => i + 1)),
    ],
  };
}

describeBackends('rows that branch', () => {
  const forms: [string, RandomDecoderOptions, number[]][] = [
    ['original', { form: 'original' }, [3, 1, 4]],
    ['decoupled latents', { decoupled: true }, [3, 1, 4]],
    // Longer than a block of query rows, so that a block begins inside of a branch.
    ['decoupled latents, in blocks', { decoupled: true }, [200, 3, 150]],
  ];
  test.each(forms)('%s: each branch is what it is alone', async (_, options, lengths) => {
    const config = randomConfig(options);
    const decoder = await loadDecoder(config, readerOf(randomWeights(config, options, gaussian)));
    const row = branched(lengths, 2);
    const { ids, kinds, positions, branches } = row;
    const together = await hiddenOf(decoder, ids, kinds, positions, branches);
    let next = TRUNK.length * config.hiddenSize;
    for (const tail of row.tails) {
      const alone = await hiddenOf(
        decoder,
        [...TRUNK, ...tail],
        [...TRUNK_KINDS, ...tail.map(() => TEXT)],
        Array.from({ length: TRUNK.length + tail.length }, (_, t) => t),
      );
      const end = next + tail.length * config.hiddenSize;
      // The same sums; masked terms are exact zeros, in another order of blocks.
      expectClose(together.slice(next, end), alone.slice(TRUNK.length * config.hiddenSize), {
        abs: 4e-6,
      });
      next = end;
    }
    decoder.dispose();
  });

  test('masks what another branch holds, and nothing else', async () => {
    const mask = branchMask(Int32Array.of(0, 1, 2), [1, 3]);
    expect([...(await mask.data())].map((value) => value === 0)).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
      true,
      false,
      true,
    ]);
    mask.dispose();
  });

  test('leaves nothing behind, and fills no cache', async () => {
    const config = randomConfig({});
    const weights = readerOf(randomWeights(config, {}, gaussian));
    await expectNoLeak(async () => {
      const decoder = await loadDecoder(config, weights);
      const layout = { batch: 1, length: 2, kinds: Uint8Array.of(TEXT, TEXT) };
      const positions = Int32Array.of(0, 1);
      const step = prefillStep(layout, positions, config, { branches: Int32Array.of(1, 2) });
      const embeds = decoder.embed(positions, [1, 2]);
      const cache = decoder.createCache(1);
      await expect(decoder.prefill(embeds, step, { cache })).rejects.toThrow(
        'a cache holds one continuation a row',
      );
      expect(() => prefillStep(layout, positions, config, { branches: Int32Array.of(1) })).toThrow(
        'branches must hold 1 x 2 values, got 1',
      );
      cache.dispose();
      tf.dispose(embeds);
      step.dispose();
      decoder.dispose();
    });
  });
});
