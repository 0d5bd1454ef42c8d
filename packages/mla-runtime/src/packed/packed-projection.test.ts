import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { denseProjection } from '../dense-projection';
import { packProjection } from './pack-projection';
import type { WeightPacking } from './packed-matrix';

const PACKING: WeightPacking = { format: 'int4', groupSize: 16 };

function dense() {
  return denseProjection(tf.tensor2d(gaussian(24 * 10, 1), [24, 10]), tf.tensor1d(gaussian(10, 2)));
}

describeBackends('a packed projection', { webgpu: true }, () => {
  test.each([[[5, 24]], [[2, 3, 24]], [[1, 1, 24]], [[0, 24]]])(
    'is the product with its weight: x of %j',
    async (shape) => {
      const packed = await packProjection(dense(), PACKING);
      const x = tf.tensor(gaussian(tf.util.sizeFromShape(shape), 3), shape);
      const y = packed.apply(x);
      expect(y.shape).toEqual([...shape.slice(0, -1), 10]);
      const flat = tf.reshape(x, [-1, 24]) as tf.Tensor2D;
      const expected = tf.add(tf.matMul(flat, packed.weight()), packed.bias!);
      // f32 sums of 24 products of size 1, in another order.
      expectClose(await y.data(), await expected.data(), { abs: 1e-5 });
      packed.dispose();
    },
  );

  test('has a gradient of x, and none of its weight', async () => {
    const unbiased = denseProjection(tf.tensor2d(gaussian(24 * 10, 1), [24, 10]));
    const packed = await packProjection(unbiased, PACKING);
    const dy = tf.tensor2d(gaussian(3 * 10, 4), [3, 10]);
    const dx = tf.grad((x: tf.Tensor) => packed.apply(x))(tf.zeros([3, 24]), dy);
    const expected = tf.matMul(dy, packed.weight(), false, true);
    expectClose(await dx.data(), await expected.data(), { abs: 1e-5 }); // sums of 10
    packed.dispose();
  });

  test('refuses x of another width', async () => {
    const packed = await packProjection(dense(), PACKING);
    expect(() => packed.apply(tf.zeros([2, 23]))).toThrow(/must be 24, got x=\[2,23\]/);
    packed.dispose();
  });

  test('takes the place of the dense one, and leaves nothing behind', async () => {
    await expectNoLeak(async () => {
      const packed = await packProjection(dense(), PACKING);
      const x = tf.ones([2, 24]);
      tf.dispose([x, packed.apply(x), packed.weight()]);
      packed.dispose();
      const empty = denseProjection(tf.zeros([24, 0]));
      expect(await packProjection(empty, PACKING)).toBe(empty);
      empty.dispose();
    });
  });
});
