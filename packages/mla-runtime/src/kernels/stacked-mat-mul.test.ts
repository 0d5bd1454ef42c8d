import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { stackedMatMul } from './stacked-mat-mul';

/** Products of stacks a [count, M, I] and b [count, I, O] in float64. */
function products(
  a: Float32Array,
  b: Float32Array,
  count: number,
  m: number,
  i: number,
  o: number,
) {
  return Array.from({ length: count * m * o }, (_, at) => {
    const [stack, row, column] = [Math.floor(at / (m * o)), Math.floor(at / o) % m, at % o];
    let sum = 0;
    for (let k = 0; k < i; k++)
      sum += a[(stack * m + row) * i + k]! * b[(stack * i + k) * o + column]!;
    return sum;
  });
}

describeBackends('stackedMatMul', { webgpu: true }, () => {
  test.each([
    ['large enough for the kernel of wasm', 3, 33, 17, 40],
    ['four rows, the fewest', 2, 4, 64, 33],
    ['one pair', 1, 40, 20, 20],
    ['few rows', 3, 2, 128, 64],
    ['small', 6, 5, 3, 2],
  ])('equals float64: %s', async (_, count, m, i, o) => {
    const [a, b] = [gaussian(count * m * i, 1), gaussian(count * i * o, 2)];
    const product = stackedMatMul(tf.tensor(a, [count, 1, m, i]), tf.tensor(b, [count, 1, i, o]));
    expect(product.shape).toEqual([count, 1, m, o]);
    // f32 sums of up to 128 products of size 1.
    expectClose(await product.data(), products(a, b, count, m, i, o), { abs: 2e-5 });
  });

  test('gives zeros for a product over nothing', async () => {
    tf.dispose(tf.fill([2, 40, 40], 7)); // freed memory that is not zero
    const product = stackedMatMul(tf.zeros([2, 40, 0]), tf.zeros([2, 0, 40]));
    expect([...(await product.data())].every((v) => v === 0)).toBe(true);
    expect(stackedMatMul(tf.zeros([2, 0, 4]), tf.zeros([2, 4, 3])).shape).toEqual([2, 0, 3]);
  });

  test('keeps NaN in the pair that has it', async () => {
    const a = gaussian(2 * 8 * 32, 3);
    a[8 * 32] = Number.NaN; // first row of the second pair
    const product = stackedMatMul(tf.tensor(a, [2, 8, 32]), tf.ones([2, 32, 40]));
    const wrong = [...(await product.data())].flatMap((v, i) => (Number.isNaN(v) ? [i] : []));
    expect(wrong).toEqual(Array.from({ length: 40 }, (_, i) => 8 * 40 + i));
  });

  test('works on inputs that come from another backend', async () => {
    const current = tf.getBackend();
    await tf.setBackend(current === 'wasm' ? 'cpu' : 'wasm');
    const [a, b] = [gaussian(2 * 8 * 32, 4), gaussian(2 * 32 * 40, 5)];
    const inputs = [tf.tensor(a, [2, 8, 32]), tf.tensor(b, [2, 32, 40])] as const;
    await tf.setBackend(current);
    const product = stackedMatMul(...inputs);
    expectClose(await product.data(), products(a, b, 2, 8, 32, 40), { abs: 2e-5 });
  });

  test('leaves no tensors and no memory of the backend behind', async () => {
    const [a, b] = [tf.randomNormal([5, 16, 32]), tf.randomNormal([5, 32, 48])];
    const data = () => tf.engine().backend.numDataIds();
    const before = data();
    await expectNoLeak(() => stackedMatMul(a, b).dispose());
    expect(data()).toBe(before);
    tf.dispose([a, b]);
  });
});

test('its gradient on wasm is that of the product', async () => {
  await tf.setBackend('wasm');
  const [a, b, dy] = [gaussian(2 * 8 * 32, 6), gaussian(2 * 32 * 40, 7), gaussian(2 * 8 * 40, 8)];
  const saved = [tf.tensor(a, [2, 8, 32]), tf.tensor(b, [2, 32, 40])];
  tf.dispose(stackedMatMul(saved[0]!, saved[1]!));
  const gradient = tf.getGradient('StackedMatMul').gradFunc(tf.tensor(dy, [2, 8, 40]), saved, {});
  const transposed = (x: Float32Array, rows: number, columns: number) =>
    Float32Array.from(x, (_, at) => {
      const inner = at % (rows * columns);
      const [column, row] = [Math.floor(inner / rows), inner % rows];
      return x[at - inner + row * columns + column]!;
    });
  const da = products(dy, transposed(b, 32, 40), 2, 8, 40, 32);
  const db = products(transposed(a, 8, 32), dy, 2, 32, 8, 40);
  expectClose(await gradient.a!().data(), da, { abs: 2e-5 });
  expectClose(await gradient.b!().data(), db, { abs: 2e-5 });
});
