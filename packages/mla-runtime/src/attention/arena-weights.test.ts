import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { denseProjection } from '../dense-projection';
import { HostArena } from '../host/host-arena';
import { absorbWeights, disposeAbsorbed } from './absorbed-weights';
import { ArenaWeights } from './arena-weights';

const [BATCH, QUERIES, HEADS, KEY_HEADS, NOPE, VALUE] = [2, 3, 6, 2, 5, 8] as const;
const SHAPE = {
  ...{ numAttentionHeads: HEADS, numKeyValueHeads: KEY_HEADS, headDim: VALUE },
  ...{ qkRopeHeadDim: VALUE - NOPE, qkNopeHeadDim: NOPE, ropePairs: undefined },
};

function projection(inputs: number, outputs: number, seed: number, bias: boolean) {
  return denseProjection(
    tf.tensor2d(gaussian(inputs * outputs, seed), [inputs, outputs]),
    bias ? tf.tensor1d(gaussian(outputs, seed + 1)) : undefined,
  );
}

describeBackends('ArenaWeights', () => {
  test.each([
    [1, true],
    [2, false],
    [2, true],
  ])('absorbs and expands as ops do: %i groups, biases %s', async (groups, bias) => {
    const width = 12 / groups;
    const upK = projection(width, KEY_HEADS * NOPE, 1, bias);
    const upV = projection(width, KEY_HEADS * VALUE, 3, bias);
    const weights = absorbWeights(upK, upV, { ...SHAPE, groups });
    const own = new ArenaWeights(weights);
    const rows = HEADS * QUERIES;
    const nope = gaussian(BATCH * rows * NOPE, 5);
    const sums = gaussian(BATCH * rows * width, 6);
    const masses = gaussian(BATCH * rows, 7).map(Math.abs);

    const byKey = tf.tensor4d(nope, [BATCH, KEY_HEADS, rows / KEY_HEADS, NOPE]);
    const { query, bias: added } = weights.absorbQuery(byKey);
    const absorbed = own.absorb(nope, BATCH);
    // Sums of up to 12 products of size 1.
    expectClose(absorbed.query!, await query!.data(), { abs: 4e-6 });
    expect(absorbed.bias !== undefined).toBe(bias);
    if (added) expectClose(absorbed.bias!, await added.data(), { abs: 4e-6 });

    const byGroup = [BATCH, groups, rows / groups] as const;
    const expected = weights.expandValue({
      sums: tf.tensor4d(sums, [...byGroup, width]),
      masses: () => tf.tensor4d(masses, [...byGroup, 1]),
    });
    const output = new Float32Array(BATCH * rows * VALUE);
    own.expand(sums, masses, output, BATCH);
    expectClose(output, await expected.data(), { abs: 4e-6 });
    own.dispose();
    disposeAbsorbed(weights);
  });

  test('give their memory back', () => {
    const upK = projection(4, KEY_HEADS * NOPE, 1, true);
    const upV = projection(4, KEY_HEADS * VALUE, 3, true);
    const weights = absorbWeights(upK, upV, { ...SHAPE, groups: 1 });
    const arena = HostArena.take();
    arena.release(arena.allocate(4)); // known from now on, and idle
    const own = new ArenaWeights(weights);
    expect(HostArena.take()).not.toBe(arena);
    own.dispose();
    expect(HostArena.take()).toBe(arena);
    disposeAbsorbed(weights);
  });
});
