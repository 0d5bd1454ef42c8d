import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { stacksOf } from './stacks';

describeBackends('stacksOf', () => {
  it('joins what has one shape and one kind, and gives the parts back in order', async () => {
    const shapes = { a: [2, 3], b: [3, 2], c: [2, 3], d: [2, 3] };
    const tensors = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => [name, tf.fill(shape, i)]),
    );
    const stacks = stacksOf(tensors, (name) => (name === 'd' ? 1 : 0));
    expect(stacks.map(({ names }) => names)).toEqual([['a', 'c'], ['b'], ['d']]);
    const joined = stacks[0]!.join((name) => tensors[name]!);
    expect(joined.shape).toEqual([2, 2, 3]);
    const parts = stacks[0]!.part(joined);
    expect(parts.map(({ shape }) => shape)).toEqual([
      [2, 3],
      [2, 3],
    ]);
    expect([...(await parts[1]!.data())]).toEqual(new Array(6).fill(2));
    expect(stacks[1]!.join((name) => tensors[name]!)).toBe(tensors.b);
    tf.dispose([tensors, joined, parts] as tf.TensorContainer);
  });

  it('copies no large tensor into a stack', () =>
    expectNoLeak(() => {
      const large = { a: tf.zeros([512, 300]), b: tf.zeros([512, 300]), c: tf.zeros([1]) };
      expect(stacksOf(large).map(({ names }) => names)).toEqual([['a'], ['b'], ['c']]);
      tf.dispose(large);
    }));
});
