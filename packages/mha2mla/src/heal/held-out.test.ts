import { describeBackends } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import type { Question } from '../data/question';
import { HeldOut, splitRows } from './held-out';
import type { ShardContext } from './shard-gradient';

const nothing = {} as ShardContext; // no look is taken

describe('looks at pictures held out', () => {
  test.each([
    [[], 1, false],
    [[3], 1, false],
    [[3, 2, 2.5], 1, true],
    [[3, 2, 2.5, 2.6], 2, true],
    [[3, 2, 2.5, 2.6], 3, false],
    [[3, 2, 2.5, 1.9], 1, false],
    [[2, 2], 1, true], // as low is no lower
  ])('%o with a patience of %i: over is %o', (losses, patience, expected) => {
    const held = new HeldOut(nothing, [], { losses, best: new Map() });
    expect(held.isOver(patience)).toBe(expected);
  });

  test.each([
    [0, 10, 0],
    [0.25, 10, 3],
    [0.4, 10, 4],
    [0.9, 10, 9],
    [0.99, 10, 9], // one is trained on
    [0.01, 10, 1],
    [0.5, 1, 0],
  ])('a share of %d of %i rows is %i, and none is lost', (share, count, expected) => {
    const rows = Array.from({ length: count }, (): Question[] => []);
    const { training, heldOut } = splitRows(rows, share);
    expect(heldOut).toHaveLength(expected);
    expect(new Set([...training, ...heldOut])).toEqual(new Set(rows));
    expect(training).toHaveLength(count - expected);
  });
});

describeBackends('the best weights', () => {
  test('come back, and what they do not name stays', async () => {
    const [a, b] = tf.tidy(() => [tf.variable(tf.tensor1d([1, 2])), tf.variable(tf.scalar(3))]);
    const best = new Map([['a', Float32Array.of(5, 6)]]);
    const parameters = [
      { name: 'a', variable: a! },
      { name: 'b', variable: b! },
    ];
    new HeldOut(nothing, parameters, { losses: [1], best }).restoreBest();
    expect([...(await a!.data()), ...(await b!.data())]).toEqual([5, 6, 3]);
    tf.dispose([a!, b!]);
  });
});
