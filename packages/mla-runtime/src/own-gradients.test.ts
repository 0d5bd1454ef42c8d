/** What has a gradient of its own has that of its values, and without a tape leaves nothing behind. */
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { attendBlock } from './attention/attend-block';
import { denseProjection } from './dense-projection';
import { rmsNorm } from './rms-norm';
import { applyRotary, rotaryTable } from './rotary';
import { siluGate } from './silu-gate';

type Case = [name: string, shapes: number[][], f: (...inputs: tf.Tensor[]) => tf.Tensor];

const random = (shape: number[], seed: number) =>
  tf.tensor(gaussian(tf.util.sizeFromShape(shape), seed), shape);
const table = () => rotaryTable(Int32Array.of(0, 1, 7, 3), [2, 2], { headDim: 8, ropeTheta: 100 });
const pairs = [Int32Array.of(0, 3), Int32Array.of(1, 2)];
const causal = () => tf.tensor2d([0, -1e9, -1e9, 0, 0, -1e9], [2, 3]);

const CASES: Case[] = [
  ['rmsNorm', [[2, 3, 5]], (x) => rmsNorm(x!, random([5], 9) as tf.Tensor1D, 1e-2)],
  [
    'rmsNorm with a weight that is trained',
    [[2, 3, 5], [5]],
    (x, weight) => rmsNorm(x!, weight as tf.Tensor1D, 1e-2),
  ],
  [
    'siluGate',
    [
      [4, 5],
      [4, 5],
    ],
    (x, up) => siluGate(x!, up!),
  ],
  ['applyRotary', [[2, 2, 3, 8]], (x) => applyRotary(x as tf.Tensor4D, table(), undefined)],
  ['applyRotary of some', [[2, 2, 2, 4]], (x) => applyRotary(x as tf.Tensor4D, table(), pairs)],
  [
    'attendBlock',
    [
      [2, 2, 2, 4],
      [2, 2, 4, 3],
      [2, 2, 3, 5],
    ],
    (q, k, v) => attendBlock(q!, k!, v!, causal(), 2),
  ],
  [
    'attendBlock of grouped queries',
    [
      [2, 2, 4, 4],
      [2, 2, 4, 3],
      [2, 2, 3, 5],
    ],
    (q, k, v) => attendBlock(q!, k!, v!, causal(), 4),
  ],
];

describeBackends('a gradient of its own', () => {
  test.each(CASES)('%s: is the finite difference', async (_, shapes, f) => {
    const inputs = shapes.map((shape, i) => tf.variable(random(shape, i + 1)));
    const dy = tf.tidy(() => random(f(...inputs).shape, 20));
    const grads = tf.grads(f)(inputs, dy);
    for (const [i, input] of inputs.entries()) {
      expect(grads[i]!.shape).toEqual(input.shape);
      const start = Float32Array.from(await input.data());
      const along = (at: number, move: number) =>
        tf.tidy(() => {
          const moved = Float32Array.from(start, (x, j) => (j === at ? x + move : x));
          input.assign(tf.tensor(moved, input.shape));
          return tf.sum(tf.mul(f(...inputs), dy)).dataSync()[0]!;
        });
      const step = 2 ** -6;
      const differences = start.map((_, at) => (along(at, step) - along(at, -step)) / (2 * step));
      tf.tidy(() => input.assign(tf.tensor(start, input.shape)));
      // Gradients of size 1; float32 sums of size 10 differ by 2e-6, over a step of 1/32.
      expectClose(await grads[i]!.data(), differences, { abs: 3e-3 });
    }
    tf.dispose([inputs, dy, grads]);
  });

  test('a dense projection takes its gradient back through its weight', async () => {
    const weight = random([4, 6], 1) as tf.Tensor2D;
    const projection = denseProjection(weight);
    const [x, dy] = [random([3, 4], 2), random([3, 6], 3)];
    const [grad] = tf.grads((input) => projection.apply(input))([x], dy);
    const expected = tf.matMul(dy, weight, false, true);
    expectClose(await grad!.data(), await expected.data(), { abs: 1e-5 }); // sums of six products
    projection.dispose();
    tf.dispose([x, dy, grad, expected] as tf.TensorContainer);
  });

  test('nothing is left behind, with a tape or without', () =>
    expectNoLeak(() => {
      tf.tidy(() => {
        for (const [, shapes, f] of CASES) {
          const inputs = shapes.map((shape, i) => tf.variable(random(shape, i)));
          const y = f(...inputs);
          tf.grads(f)(inputs, tf.onesLike(y));
          tf.dispose(inputs);
        }
      });
    }));
});
