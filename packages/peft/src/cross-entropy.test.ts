import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { crossEntropy } from './cross-entropy';
import { registerGradients } from './register-gradients';

const [P, V] = [6, 7];
const LABELS = [3, 0, -100, 6, 2, -100];
const WEIGHTS = [1, 0.5, 3, 0, 2, 0];

/** The loss and its gradient in float64. */
function reference(logits: ArrayLike<number>, weights: number[]) {
  const w = weights.map((weight, i) => (LABELS[i]! < 0 ? 0 : weight));
  const total = w.reduce((sum, x) => sum + x, 0);
  let loss = 0;
  const grad: number[] = [];
  for (let i = 0; i < P; i++) {
    const z = Array.from({ length: V }, (_, v) => logits[i * V + v]!);
    const max = Math.max(...z);
    const logSum = max + Math.log(z.reduce((sum, x) => sum + Math.exp(x - max), 0));
    if (LABELS[i]! >= 0) loss += (w[i]! / total) * (logSum - z[LABELS[i]!]!);
    z.forEach((x, v) => {
      grad.push((w[i]! / total) * (Math.exp(x - logSum) - (v === LABELS[i] ? 1 : 0)));
    });
  }
  return { loss, grad };
}

describeBackends('crossEntropy', () => {
  it.each([
    ['without weights', undefined],
    ['with weights', WEIGHTS],
  ])('value and gradient %s are those of float64', async (_name, weights) => {
    registerGradients();
    const values = gaussian(P * V, 3).map((x) => 5 * x);
    const logits = tf.tensor2d(values, [P, V]);
    const labels = tf.tensor1d(LABELS, 'int32');
    const rowWeights = weights && tf.tensor1d(weights);
    const loss = (z: tf.Tensor) => crossEntropy(z as tf.Tensor2D, labels, { weights: rowWeights });
    const { value, grad } = tf.valueAndGrad(loss)(logits);
    const expected = reference(values, weights ?? new Array(P).fill(1));
    expectClose(await value.data(), [expected.loss], { rel: 1e-6 }); // float32 sums of 7
    expectClose(await grad.data(), expected.grad, { abs: 1e-6 });
    tf.dispose([logits, labels, value, grad]);
    rowWeights?.dispose();
  });

  it('the gradient is the finite difference, and scales with what comes after', async () => {
    registerGradients();
    const values = gaussian(P * V, 4);
    const labels = tf.tensor1d(LABELS, 'int32');
    const loss = (z: tf.Tensor) => tf.mul(3, crossEntropy(z as tf.Tensor2D, labels));
    const grad = tf.tidy(() => tf.grad(loss)(tf.tensor2d(values, [P, V])));
    const h = 1e-2;
    const differences = values.map((x, i) => {
      const at = (move: number) => {
        const moved = values.slice();
        moved[i] = x + move;
        return tf.tidy(() => loss(tf.tensor2d(moved, [P, V])).dataSync()[0]!);
      };
      return (at(h) - at(-h)) / (2 * h);
    });
    expectClose(await grad.data(), differences, { abs: 2e-4 }); // rounding 1e-6 / h
    tf.dispose([labels, grad]);
  });

  it('stays finite for logits of -inf and 1e4 away from the label', async () => {
    registerGradients();
    const logits = tf.tensor2d([[-Infinity, 0, 1e4]]);
    const labels = tf.tensor1d([2], 'int32');
    const { value, grad } = tf.valueAndGrad((z) => crossEntropy(z as tf.Tensor2D, labels))(logits);
    expectClose(await value.data(), [0], { abs: 0 });
    expectClose(await grad.data(), [0, 0, 0], { abs: 0 });
    tf.dispose([logits, labels, value, grad]);
  });

  it('is NaN over no rows', async () => {
    const logits = tf.ones([2, 3]) as tf.Tensor2D;
    const labels = tf.tensor1d([-100, -100], 'int32');
    const loss = crossEntropy(logits, labels);
    expect([...(await loss.data())]).toEqual([Number.NaN]);
    tf.dispose([logits, labels, loss]);
  });

  it('refuses shapes that do not fit', () => {
    const logits = tf.ones([2, 3]) as tf.Tensor2D;
    const labels = tf.zeros([3], 'int32') as tf.Tensor1D;
    expect(() => crossEntropy(logits, labels)).toThrow(/got \[2,3\] and \[3\]/);
    const two = tf.zeros([2], 'int32') as tf.Tensor1D;
    expect(() => crossEntropy(logits, two, { weights: labels })).toThrow(/weights must be \[2\]/);
    tf.dispose([logits, labels, two]);
  });

  it('leaves nothing behind, with and without a gradient', () =>
    expectNoLeak(() => {
      const logits = tf.ones([2, 3]) as tf.Tensor2D;
      const labels = tf.zeros([2], 'int32') as tf.Tensor1D;
      const loss = (z: tf.Tensor) => crossEntropy(z as tf.Tensor2D, labels);
      tf.dispose([loss(logits), tf.grad(loss)(logits), logits, labels]);
    }));
});
