/** A key bias scored by position equals the rotated bias itself, whatever the axes and the padding. */
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { DecoderCache } from '../cache/decoder-cache';
import { segmentColumns } from '../cache/segment-tokens';
import { type RandomDecoderOptions, randomConfig } from '../random-weights.reference';
import { rotaryTable } from '../rotary';
import { PADDING, TEXT, type TokenLayout, textLayout, VISION } from '../token-layout';
import { headShape } from './head-shape';
import { rotaryBiasMatrix, rotaryBiasScores, rotatedBias } from './rotary-bias';

const [P, T, V] = [PADDING, TEXT, VISION];
const LAYOUT: TokenLayout = {
  batch: 2,
  length: 6,
  kinds: Uint8Array.from([T, V, V, V, T, T, P, P, V, T, V, T]),
};
const SEGMENTS = ['vision', 'text'] as const;

/** Axes that differ on pictures alone, up to positions beyond the first table. */
function positionsOf(axes: number): Int32Array {
  return Int32Array.from({ length: axes * 12 }, (_, i) => {
    const [axis, token] = [Math.floor(i / 12), i % 12];
    return LAYOUT.kinds[token] === V ? 3 * token + axis : 25 * token;
  });
}

describeBackends('a bias of rotary keys', () => {
  test.each<[string, RandomDecoderOptions]>([
    ['plain', {}],
    ['M-RoPE', { mropeSection: [2, 1, 1] }],
    ['all pairs turned', { qkRopeHeadDim: 8 }],
    ['MHA', { numKeyValueHeads: 4 }],
  ])('scored by position equals itself rotated: %s', async (_, options) => {
    const config = randomConfig(options);
    const shape = headShape(config, 0);
    const { numAttentionHeads: N, numKeyValueHeads: K, qkRopeHeadDim: R } = shape;
    const positionIds = positionsOf(options.mropeSection ? 3 : 1);
    const bias = tf.tensor1d(gaussian(K * R, 1));
    const queries = gaussian(2 * N * R, 2);
    const query = tf.tensor4d(queries, [2, K, N / K, R]);
    const cache = DecoderCache.create(2, 1, SEGMENTS);
    cache.reserve(LAYOUT, positionIds);
    const matrix = rotaryBiasMatrix(bias, shape);
    const rotary = rotaryTable(positionIds, [2, 6], config);
    const rotated = rotatedBias(bias, shape, rotary);
    const keys = (await rotated.data()) as Float32Array; // [B, L, K, R]
    for (const segment of SEGMENTS) {
      const table = cache.slotTable(segment);
      const lookup = cache.angles.lookup(segment, table, config);
      expect(lookup.axes.length).toBe(segment === 'vision' && options.mropeSection ? 3 : 1);
      const scores = rotaryBiasScores(query, matrix, lookup);
      const actual = (await scores.data()) as Float32Array; // [B, N, T]
      for (const [row, columns] of segmentColumns(segment, LAYOUT).entries()) {
        for (let head = 0; head < N; head++) {
          const own = Math.floor((head * K) / N);
          const start = (row * N + head) * table.length;
          const expected = columns.map((column) =>
            keys
              .subarray(((row * 6 + column) * K + own) * R, ((row * 6 + column) * K + own + 1) * R)
              .reduce((sum, key, i) => sum + key * queries[(row * N + head) * R + i]!, 0),
          );
          // Sums of 8 products of size 10 in f32.
          expectClose(actual.subarray(start, start + columns.length), expected, { abs: 1e-5 });
        }
      }
      scores.dispose();
    }
    cache.dispose();
    tf.dispose([bias, query, matrix, rotary.cos, rotary.sin, rotated]);
  });

  test('all segments and steps share a table, until a position lies beyond it', () => {
    const config = randomConfig({});
    const cache = DecoderCache.create(2, 1, SEGMENTS);
    cache.reserve(LAYOUT, positionsOf(1)); // beyond the head's width, and beyond 256
    const tableOf = (segment: (typeof SEGMENTS)[number]) =>
      cache.angles.lookup(segment, cache.slotTable(segment), config).table;
    const table = tableOf('vision');
    expect(tableOf('text')).toBe(table);
    cache.reserve(textLayout(2, 1), Int32Array.of(511, 511));
    expect(tableOf('text')).toBe(table);
    const fork = cache.fork();
    fork.reserve(textLayout(2, 1), Int32Array.of(512, 512));
    cache.restore(fork);
    expect(tableOf('text').shape[0]).toBe(1024);
    fork.dispose();
    cache.dispose();
  });

  test('what looking up makes goes with the cache, and is counted', () =>
    expectNoLeak(async () => {
      const config = randomConfig({ mropeSection: [2, 1, 1] });
      const cache = DecoderCache.create(2, 1, SEGMENTS);
      cache.reserve(LAYOUT, positionsOf(3));
      for (const segment of [...SEGMENTS, ...SEGMENTS]) {
        cache.angles.lookup(segment, cache.slotTable(segment), config);
      }
      // 512 positions of 8 dims; 2 rows of 3 slots for 3 axes of vision, and for 1 of text.
      expect(cache.allocatedBytes).toBe(4 * (512 * 8 + 2 * 3 * 3 + 2 * 3));
      cache.reserve(textLayout(2, 1), Int32Array.of(600, 600, 600, 600, 600, 600));
      const { table, axes } = cache.angles.lookup('text', cache.slotTable('text'), config);
      expect([table.shape[0], axes[0]!.slots.size]).toEqual([1024, 2 * 4]);
      cache.dispose();
    }));
});
