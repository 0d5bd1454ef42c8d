import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { outputMatchingLoss } from './output-matching-loss';
import { registerGradients } from './register-gradients';

const SHAPE = [2, 3, 4] as [number, number, number];
const MASK = [1, 1, 0, 1, 0, 0];

describeBackends('outputMatchingLoss', () => {
  it.each([
    ['over all rows', undefined],
    ['over a mask', MASK],
  ])('value and gradient %s are those of float64', async (_name, mask) => {
    registerGradients();
    const [s, t] = [gaussian(24, 1), gaussian(24, 2)];
    const [student, teacher] = [tf.tensor3d(s, SHAPE), tf.tensor3d(t, SHAPE)];
    const rows = mask && tf.tensor2d(mask, [2, 3], 'int32');
    const { value, grad } = tf.valueAndGrad((x) => outputMatchingLoss(x, teacher, { mask: rows }))(
      student,
    );
    const w = (i: number) => (mask ? mask[Math.floor(i / 4)]! : 1);
    const total = t.reduce((sum, x, i) => sum + w(i) * x * x, 0);
    const error = s.reduce((sum, x, i) => sum + w(i) * (x - t[i]!) ** 2, 0);
    expectClose(await value.data(), [error / total], { rel: 1e-6 }); // float32 sums of 24
    const expected = Array.from(s, (x, i) => (2 * w(i) * (x - t[i]!)) / total);
    expectClose(await grad.data(), expected, { abs: 1e-6 });
    tf.dispose([student, teacher, value, grad]);
    rows?.dispose();
  });

  it('is 0 for equal outputs and 1 for a student of zeros', async () => {
    const [zeros, ones] = [tf.zeros([2, 3]), tf.ones([2, 3])];
    const [same, none] = [outputMatchingLoss(ones, ones), outputMatchingLoss(zeros, ones)];
    expect([...(await same.data()), ...(await none.data())]).toEqual([0, 1]);
    tf.dispose([zeros, ones, same, none]);
  });

  it('refuses shapes that do not fit', () => {
    const [a, b] = [tf.ones([2, 3]), tf.ones([2, 4])];
    expect(() => outputMatchingLoss(a, b)).toThrow(/must be \[..., D\], got \[2,3\] and \[2,4\]/);
    expect(() => outputMatchingLoss(a, a, { mask: b })).toThrow(/mask must be \[2\], got \[2,4\]/);
    tf.dispose([a, b]);
  });

  it('leaves nothing behind, with and without a gradient', () =>
    expectNoLeak(() => {
      const [a, b] = [tf.ones([2, 3]), tf.zeros([2, 3])];
      const loss = (x: tf.Tensor) => outputMatchingLoss(x, b);
      tf.dispose([loss(a), tf.grad(loss)(a), a, b]);
    }));
});
