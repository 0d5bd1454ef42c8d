/** The gradient through a frozen map of the decoder, which it writes itself, is the difference. */
import { denseProjection } from '@mha2mla/mla-runtime';
import { registerGradients } from '@mha2mla/peft';
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

const [IN, OUT] = [6, 5];
const map = (bias: boolean) =>
  denseProjection(
    tf.tensor2d(gaussian(IN * OUT, 1), [IN, OUT]),
    bias ? tf.tensor1d(gaussian(OUT, 2)) : undefined,
  );

describeBackends('the gradient of denseProjection', () => {
  test.each([
    [[IN], false],
    [[3, IN], true],
    [[2, 3, IN], false],
    [[2, 3, IN], true],
  ])('by x %o, bias %s, is the finite difference', async (shape, bias) => {
    registerGradients();
    const projection = map(bias);
    const size = tf.util.sizeFromShape(shape);
    const values = gaussian(size, 3);
    const upstream = tf.tensor(gaussian((size / IN) * OUT, 4), [...shape.slice(0, -1), OUT]);
    const at = async (i: number, step: number) => {
      const x = values.slice();
      x[i]! += step;
      const sum = tf.tidy(() => tf.sum(tf.mul(projection.apply(tf.tensor(x, shape)), upstream)));
      const [value] = await sum.data();
      sum.dispose();
      return value!;
    };
    const differences: number[] = [];
    for (let i = 0; i < size; i++) differences.push((await at(i, 0.5)) - (await at(i, -0.5)));
    const grad = tf.tidy(() =>
      tf.grad((x) => projection.apply(x))(tf.tensor(values, shape), upstream),
    );
    expect(grad.shape).toEqual(shape);
    // Linear in x, so a step of 1 is exact but for float32 sums of 30 products.
    expectClose(await grad.data(), differences, { abs: 2e-5 });
    tf.dispose([upstream, grad]);
    projection.dispose();
  });

  test('leaves nothing behind', () =>
    expectNoLeak(() => {
      registerGradients();
      const projection = map(true);
      const [x, upstream] = [tf.ones([2, IN]), tf.ones([2, OUT])];
      tf.dispose([tf.grad((input) => projection.apply(input))(x, upstream), x, upstream]);
      projection.dispose();
    }));
});
