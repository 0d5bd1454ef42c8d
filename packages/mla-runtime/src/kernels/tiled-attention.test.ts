import { describeWebGpu, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { causalAttention, causalMask, MASKED } from '../attention/causal-attention';
import { PastTokens } from '../attention/past-tokens';
import { isTiledAttention, tiledAttention, tiledAttentionProgram } from './tiled-attention';

interface Case {
  name: string;
  batch?: number;
  length: number;
  heads?: number;
  keyHeads?: number;
  width?: number;
  valueDim?: number;
  /** Tokens of a piece before. */
  past?: number;
  padding?: boolean;
  branches?: boolean;
}

const CASES: Case[] = [
  { name: 'one token', length: 1 },
  { name: 'a query tile and one more', length: 9 },
  { name: 'full tiles', length: 16, batch: 2 },
  { name: 'grouped heads of other widths', length: 37, heads: 6, width: 10, valueDim: 7 },
  { name: 'the widest heads', length: 19, heads: 1, keyHeads: 1, width: 128, valueDim: 128 },
  { name: 'after an earlier piece', length: 5, past: 40 },
  { name: 'padding and branches', length: 21, batch: 2, padding: true, branches: true },
];

/** Whether a key is hidden from a query: some, but never its own. */
function isOtherBranch(i: number, length: number, all: number): boolean {
  const [row, key] = [Math.floor(i / all) % length, i % all];
  return i % 5 === 1 && key !== row + all - length;
}

/** What `causalAttention` computes on the backend in use. */
async function attend(given: Case): Promise<Float32Array> {
  const { batch = 1, length, heads = 4, keyHeads = 2, width = 8, valueDim = 8, past = 0 } = given;
  const random = (shape: [number, number, number, number], seed: number) =>
    tf.tensor4d(gaussian(tf.util.sizeFromShape(shape), seed), shape);
  const all = length + past;
  const masks = {
    causal: causalMask(length, past),
    padding: given.padding
      ? tf.tensor4d(
          Float32Array.from({ length: batch * all }, (_, i) => (i % all < 3 ? MASKED : 0)),
          [batch, 1, 1, all],
        )
      : undefined,
    branches: given.branches
      ? tf.tensor4d(
          Float32Array.from({ length: batch * length * all }, (_, i) =>
            isOtherBranch(i, length, all) ? MASKED : 0,
          ),
          [batch, 1, length, all],
        )
      : undefined,
  };
  const query = random([batch, length, heads, width], 1);
  const key = random([batch, length, keyHeads, width], 2);
  const value = random([batch, length, keyHeads, valueDim], 3);
  const before = past > 0 ? new PastTokens() : undefined;
  before?.extend(
    random([batch, keyHeads, width, past], 4),
    random([batch, keyHeads, past, valueDim], 5),
  );
  const output = causalAttention(query, key, value, masks, 0.3, before);
  const values = ((await output.data()) as Float32Array).slice();
  // Of a query that sees padding alone, nothing is asked.
  const row = heads * valueDim;
  for (let b = 0; given.padding && b < batch; b++) {
    values.fill(0, b * length * row, (b * length + 3) * row);
  }
  before?.dispose();
  tf.dispose([query, key, value, output, { ...masks }]);
  return values;
}

describeWebGpu('tiledAttention', () => {
  test.each(CASES)('equals the composed ops: $name', async (given) => {
    await tf.setBackend('wasm');
    const expected = await attend(given);
    await tf.setBackend('webgpu');
    // Sums of 128 products of size 1, and weighted means of up to 45 values, in another order.
    expectClose(await attend(given), expected, { abs: 1e-5 });
  });

  test('more than 65,535 workgroups', async () => {
    const shape: [number, number, number, number] = [16_385, 1, 4, 1];
    const values = tf.tensor4d(gaussian(4 * 16_385, 1), [16_385, 4, 1, 1]);
    const inputs = { query: tf.ones(shape), keys: tf.ones([16_385, 4, 1, 1]), values };
    const output = tiledAttention(inputs, 1);
    expect(await output.data()).toEqual(await values.data()); // each sees itself alone
    tf.dispose([output, { ...inputs }]);
  }, 300_000); // 5 s of a software adapter, on a machine that has nothing else to do

  test('serves neither a tape nor what has no size', async () => {
    const inputs = (width: number) => ({
      query: tf.ones([1, 2, 1, width]),
      keys: tf.ones([1, 1, width, 2]),
      values: tf.ones([1, 1, 2, 4]),
    });
    expect([0, 4, 128, 129].map((width) => isTiledAttention(inputs(width)))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    const sum = tf.customGrad((x) => ({
      value: tf.sum(x as tf.Tensor),
      gradFunc: (dy) => tf.mul(dy as tf.Tensor, tf.onesLike(x as tf.Tensor)),
    }));
    const gradient = tf.grad((x) => {
      expect(isTiledAttention({ ...inputs(4), query: x })).toBe(false);
      return sum(x);
    });
    gradient(tf.ones([1, 2, 1, 4])).dispose();
    await tf.setBackend('wasm');
    expect(isTiledAttention(inputs(4))).toBe(false);
    await tf.setBackend('webgpu');
  });

  test('leaves no tensors behind', () => expectNoLeak(async () => void (await attend(CASES[6]!))));
});

test('the keys of programs differ where a baked size does', () => {
  const keys = [
    [4, 8, 2, 8],
    [2, 8, 2, 8],
    [4, 6, 2, 8],
    [4, 8, 1, 8],
    [4, 8, 2, 6],
  ].map(([N, H, K, V]) => tiledAttentionProgram([], [1, 5, N!, H!], [1, K!, 5, V!]).shaderKey);
  expect(new Set(keys).size).toBe(keys.length);
});
