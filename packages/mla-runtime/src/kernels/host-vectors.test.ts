/** Loops in this process give what the ops give that they stand for, which a tape falls back to. */
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { projectForDecode } from '../attention/decode-projections';
import type { HeadShape } from '../attention/head-shape';
import { denseProjection } from '../dense-projection';
import { rmsNorm } from '../rms-norm';
import { rotaryTable } from '../rotary';
import { siluGate } from '../silu-gate';
import { addRmsNorm } from './add-rms-norm';
import { takesHostVectors } from './host-vectors';

const random = (shape: number[], seed: number) =>
  tf.tensor(gaussian(tf.util.sizeFromShape(shape), seed), shape);

const HEADS: HeadShape = {
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  qkRopeHeadDim: 4,
  qkNopeHeadDim: 4,
  ropePairs: [Int32Array.of(0, 3), Int32Array.of(1, 2)],
};
const WHOLE: HeadShape = {
  ...HEADS,
  qkRopeHeadDim: 8,
  qkNopeHeadDim: 0,
  ropePairs: undefined,
};

/** Of a token of two rows, x [2, 16], all that is made of it side by side. */
function projectBoth(x: tf.Tensor, shape: HeadShape): tf.Tensor {
  return tf.tidy(() => {
    const mapTo = (heads: number, dims: number) =>
      denseProjection(random([16, heads * dims], heads + dims) as tf.Tensor2D);
    const projections = new Map([
      ['q_proj', mapTo(4, shape.qkRopeHeadDim + shape.qkNopeHeadDim)],
      ['k_r_proj', mapTo(2, shape.qkRopeHeadDim)],
    ]);
    const table = rotaryTable(Int32Array.of(7, 3), [2, 1], { headDim: 8, ropeTheta: 100 });
    const rows = x as tf.Tensor2D;
    const parts = projectForDecode(rows, projections, 'k_r_proj', shape, table, 0.5);
    const { queryRope, queryNope, keyRope } = parts;
    return tf.concat(
      [queryRope, queryNope, keyRope].map((part) => tf.reshape(part, [2, -1])),
      1,
    );
  });
}

/** As in a gradient's forward pass. */
function underTape<T>(f: () => T): T {
  const engine = tf.engine() as unknown as { startTape(): void; endTape(): void };
  engine.startTape();
  try {
    return f();
  } finally {
    engine.endTape();
  }
}

describeBackends('a step over few values', () => {
  test.each<[string, number[], (x: tf.Tensor) => tf.Tensor]>([
    ['rmsNorm', [2, 3, 33], (x) => rmsNorm(x, random([33], 9) as tf.Tensor1D, 1e-2)],
    [
      'addRmsNorm',
      [2, 3, 33],
      (x) => {
        const [delta, weight] = [random([2, 3, 33], 8), random([33], 9) as tf.Tensor1D];
        const { sum, normal } = addRmsNorm(x, delta, weight, 1e-2);
        return tf.stack([sum, normal]);
      },
    ],
    ['siluGate', [5, 33], (x) => siluGate(tf.mul(x, 20), random([5, 33], 9))],
    ['rotation of some pairs', [2, 16], (x) => projectBoth(x, HEADS)],
    ['rotation of all pairs', [2, 16], (x) => projectBoth(x, WHOLE)],
  ])('%s: is the ops, and leaves no tensor behind', async (_, shape, f) => {
    const x = random(shape, 1);
    expect(takesHostVectors(x.size, x.size)).toBe(true);
    const [own, composed] = [tf.tidy(() => f(x)), tf.tidy(() => underTape(() => f(x)))];
    expect(own.shape).toEqual(composed.shape);
    // A float's last bits of values of size 100.
    expectClose(await own.data(), await composed.data(), { abs: 2e-5 });
    tf.dispose([own, composed]);
    await expectNoLeak(() => tf.tidy(() => f(x)).dispose());
    x.dispose();
  });

  test('is left to the ops beyond its limit and under a tape', () => {
    expect(takesHostVectors(5, 4)).toBe(false);
    expect(takesHostVectors(0, 4)).toBe(false);
    underTape(() => expect(takesHostVectors(4, 4)).toBe(false));
  });
});
