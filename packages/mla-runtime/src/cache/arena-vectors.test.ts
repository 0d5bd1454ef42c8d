import { QuantizedCache } from '@mha2mla/kv-quant';
import { describeBackends, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { HostArena } from '../host/host-arena';
import { ArenaVectors } from './arena-vectors';
import type { CachedVectors } from './layer-cache';

const [BATCH, PARTS, WIDTH] = [2, 3, 5];

function vectors(tokens: number, seed: number): tf.Tensor4D {
  return tf.tensor4d(gaussian(BATCH * PARTS * tokens * WIDTH, seed), [BATCH, PARTS, tokens, WIDTH]);
}

/** All tokens in order, whatever the blocks. */
function contents(cache: CachedVectors): number[] {
  return tf.tidy(() => [...tf.concat(cache.read<tf.Rank.R4>(), 2).dataSync()]);
}

function both(): [ArenaVectors, QuantizedCache] {
  const arena = new HostArena();
  return [new ArenaVectors(() => arena), new QuantizedCache()];
}

describeBackends('ArenaVectors', () => {
  test('holds what a cache of tensors holds, appended, forked and rewound', () => {
    const [own, tensors] = both();
    const all = [own, tensors];
    const append = (caches: CachedVectors[], tokens: number, seed: number) => {
      const x = vectors(tokens, seed);
      for (const cache of caches) cache.append(x);
      x.dispose();
    };
    for (const [seed, tokens] of [1, 40, 1, 200, 63, 1].entries()) append(all, tokens, seed);
    expect(own.length).toBe(306);
    expect(contents(own)).toEqual(contents(tensors));
    const forks = [own.fork(), tensors.fork()];
    append(all, 70, 7);
    append(forks, 2, 8);
    for (const cache of all) cache.rewind(290);
    append(all, 3, 9);
    expect(contents(own)).toEqual(contents(tensors));
    expect(contents(forks[0]!)).toEqual(contents(forks[1]!));
    expect(own.bytes.nominal).toEqual(tensors.bytes.nominal);
    for (const cache of [...all, ...forks]) cache.dispose();
  });

  test('gives its memory back once no fork needs it', () => {
    const arena = new HostArena();
    const cache = new ArenaVectors(() => arena);
    const x = vectors(64, 1);
    cache.append(x);
    const { at } = cache.placed.blocks[0]!;
    const fork = cache.fork();
    cache.dispose();
    const other = arena.allocate(4);
    expect(other).not.toBe(at);
    fork.rewind(0);
    arena.release(other);
    expect(arena.allocate(4)).toBe(at);
    x.dispose();
  });

  test.each([
    ['another width', [BATCH, PARTS, 1, 4]],
    ['another batch', [1, PARTS, 1, WIDTH]],
    ['other heads', [BATCH, 1, 1, WIDTH]],
  ])('refuses %s', (_, shape) => {
    const [own] = both();
    const [x, odd] = [vectors(1, 1), tf.ones(shape)];
    own.append(x);
    expect(() => own.append(odd)).toThrow(`must be float32 [2,3,t,5], got float32 [${shape}]`);
    expect(() => own.rewind(2)).toThrow('length must be a whole number from 0 to 1, got 2');
    tf.dispose([x, odd]);
  });
});
