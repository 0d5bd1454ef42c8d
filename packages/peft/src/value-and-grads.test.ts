import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { accumulateGrads } from './accumulate-grads';
import { crossEntropy } from './cross-entropy';
import { valueAndGrads } from './value-and-grads';

function parameter(name: string, values: number[]) {
  return { name, variable: tf.tidy(() => tf.variable(tf.tensor1d(values))) };
}

const squares = (x: tf.Tensor) => tf.sum(tf.square(x)) as tf.Scalar;

describeBackends('valueAndGrads', () => {
  it('names gradients after parameters, not after variables', async () => {
    const [a, b] = [parameter('layer.a', [1, 2]), parameter('layer.b', [3])];
    const loss = () => tf.add(squares(a.variable), tf.sum(b.variable)) as tf.Scalar;
    const { value, grads } = valueAndGrads(loss, [a, b]);
    expect([...(await value.data())]).toEqual([8]);
    expect([...(await grads['layer.a']!.data())]).toEqual([2, 4]);
    expect([...(await grads['layer.b']!.data())]).toEqual([1]);
    tf.dispose([a.variable, b.variable, value, grads] as tf.TensorContainer);
  });

  it('a parameter that the loss does not depend on is an error, unless allowed', () => {
    const [a, b] = [parameter('a', [1]), parameter('b', [2])];
    const loss = () => squares(a.variable);
    const before = tf.memory().numTensors;
    expect(() => valueAndGrads(loss, [a, b])).toThrow(/no gradient for 1 of 2: b/);
    expect(tf.memory().numTensors).toBe(before);
    const { value, grads } = valueAndGrads(loss, [a, b], { allowMissing: true });
    expect(Object.keys(grads)).toEqual(['a']);
    expect(() => valueAndGrads(loss, [a, a])).toThrow(/names must differ/);
    tf.dispose([a.variable, b.variable, value, grads] as tf.TensorContainer);
  });

  it('leaves nothing behind', () =>
    expectNoLeak(() => {
      const a = parameter('a', [1]);
      const { value, grads } = valueAndGrads(() => squares(a.variable), [a]);
      tf.dispose([a.variable, value, grads] as tf.TensorContainer);
    }));
});

describeBackends('accumulateGrads', () => {
  it('weighted by tokens, micro-batches give the gradient of the whole batch', async () => {
    const [D, V] = [4, 5];
    const w = {
      name: 'w',
      variable: tf.tidy(() => tf.variable(tf.tensor2d(gaussian(D * V, 1), [D, V]))),
    };
    const x = tf.tensor2d(gaussian(6 * D, 2), [6, D]);
    const labels = tf.tensor1d([0, 1, 2, 3, 4, 0], 'int32');
    const part = (from: number, count: number) => () =>
      crossEntropy(
        tf.matMul(tf.slice(x, [from, 0], [count, D]), w.variable as tf.Tensor2D),
        tf.slice(labels, [from], [count]),
      );
    const whole = valueAndGrads(part(0, 6), [w]);
    const parts = accumulateGrads(
      [
        { lossFn: part(0, 1), weight: 1 },
        { lossFn: part(1, 3), weight: 3 },
        { lossFn: part(4, 2), weight: 2 },
      ],
      [w],
    );
    expectClose(await parts.value.data(), await whole.value.data(), { rel: 1e-6 });
    expectClose(await parts.grads.w!.data(), await whole.grads.w!.data(), { abs: 1e-6 });
    tf.dispose([w.variable, x, labels, whole, parts] as unknown as tf.TensorContainer);
  });

  it('a micro-batch without a parameter adds nothing to its gradient', async () => {
    const [a, b] = [parameter('a', [1]), parameter('b', [2])];
    const { value, grads } = accumulateGrads(
      [{ lossFn: () => squares(a.variable) }, { lossFn: () => squares(b.variable) }],
      [a, b],
      { allowMissing: true },
    );
    const all = [value, grads.a!, grads.b!].map((tensor) => tensor.data());
    expect((await Promise.all(all)).map(([x]) => x)).toEqual([2.5, 1, 2]);
    tf.dispose([a.variable, b.variable, value, grads] as tf.TensorContainer);
  });

  it('refuses no micro-batches and weights that are not above 0', () => {
    expect(() => accumulateGrads([], [])).toThrow(/at least one micro-batch/);
    const lossFn = () => tf.scalar(0);
    expect(() => accumulateGrads([{ lossFn, weight: 0 }], [])).toThrow(/got weights=\[0\]/);
  });

  it('leaves nothing behind', () =>
    expectNoLeak(() => {
      const [a, b] = [parameter('a', [1]), parameter('b', [2])];
      const both = () => tf.add(squares(a.variable), squares(b.variable)) as tf.Scalar;
      const batches = [{ lossFn: both }, { lossFn: () => squares(a.variable) }, { lossFn: both }];
      const { value, grads } = accumulateGrads(batches, [a, b], { allowMissing: true });
      tf.dispose([a.variable, b.variable, value, grads] as tf.TensorContainer);
    }));
});
