import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { distillationLoss } from './distillation-loss';
import { registerGradients } from './register-gradients';

const [P, V] = [5, 8];

function softmax(z: number[]): number[] {
  const max = Math.max(...z);
  const e = z.map((x) => Math.exp(x - max));
  const total = e.reduce((sum, x) => sum + x, 0);
  return e.map((x) => x / total);
}

/** T^2 KL(teacher || student) and its gradient by the student in float64. */
function reference(s: ArrayLike<number>, t: ArrayLike<number>, temperature: number, w: number[]) {
  const total = w.reduce((sum, x) => sum + x, 0);
  let loss = 0;
  const grad: number[] = [];
  for (let i = 0; i < P; i++) {
    const row = (z: ArrayLike<number>) =>
      softmax(Array.from({ length: V }, (_, v) => z[i * V + v]! / temperature));
    const [q, p] = [row(s), row(t)];
    p.forEach((x, v) => {
      loss += ((temperature ** 2 * w[i]!) / total) * x * Math.log(x / q[v]!);
      grad.push(((temperature * w[i]!) / total) * (q[v]! - x));
    });
  }
  return { loss, grad };
}

describeBackends('distillationLoss', () => {
  it.each([
    [1, undefined],
    [2, undefined],
    [2, [1, 0, 2, 0.5, 0]],
  ])(
    'value and gradient at temperature %d, weights %o, are those of float64',
    async (temperature, weights) => {
      registerGradients();
      const [s, t] = [gaussian(P * V, 1).map((x) => 3 * x), gaussian(P * V, 2).map((x) => 3 * x)];
      const [student, teacher] = [tf.tensor2d(s, [P, V]), tf.tensor2d(t, [P, V])];
      const rowWeights = weights && tf.tensor1d(weights);
      const options = { temperature, weights: rowWeights };
      const { value, grad } = tf.valueAndGrad((z) =>
        tf.mul(0.5, distillationLoss(z as tf.Tensor2D, teacher, options)),
      )(student);
      const expected = reference(s, t, temperature, weights ?? new Array(P).fill(1));
      expectClose(await value.data(), [0.5 * expected.loss], { rel: 2e-6 }); // differences of logs
      expectClose(
        await grad.data(),
        expected.grad.map((x) => 0.5 * x),
        { abs: 1e-6 },
      );
      tf.dispose([student, teacher, value, grad]);
      rowWeights?.dispose();
    },
  );

  it('a student equal to the teacher has loss and gradient 0, -inf included', async () => {
    registerGradients();
    const logits = tf.tensor2d([[1, -Infinity, 3]]);
    const { value, grad } = tf.valueAndGrad((z) => distillationLoss(z as tf.Tensor2D, logits))(
      logits,
    );
    expect([...(await value.data())]).toEqual([0]);
    expect([...(await grad.data())]).toEqual([0, 0, 0]);
    tf.dispose([logits, value, grad]);
  });

  it('refuses shapes that differ and temperatures that are none', () => {
    const [a, b] = [tf.ones([2, 3]) as tf.Tensor2D, tf.ones([2, 4]) as tf.Tensor2D];
    expect(() => distillationLoss(a, b)).toThrow(/must be \[P, V\], got \[2,3\] and \[2,4\]/);
    expect(() => distillationLoss(a, a, { temperature: 0 })).toThrow(/above 0, got temperature=0/);
    tf.dispose([a, b]);
  });

  it('leaves nothing behind, with and without a gradient', () =>
    expectNoLeak(() => {
      const [a, b] = [tf.ones([2, 3]) as tf.Tensor2D, tf.zeros([2, 3]) as tf.Tensor2D];
      const loss = (z: tf.Tensor) => distillationLoss(z as tf.Tensor2D, b, { temperature: 2 });
      tf.dispose([loss(a), tf.grad(loss)(a), a, b]);
    }));
});
