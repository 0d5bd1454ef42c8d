import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
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
    ['one row', 3, 1, 128, 64],
    ['much work', 16, 8, 128, 65],
    ['small', 6, 5, 3, 2],
  ])('equals float64: %s', async (_, count, m, i, o) => {
    const [a, b] = [gaussian(count * m * i, 1), gaussian(count * i * o, 2)];
    const product = stackedMatMul(tf.tensor(a, [count, 1, m, i]), tf.tensor(b, [count, 1, i, o]));
    expect(product.shape).toEqual([count, 1, m, o]);
    // f32 sums of up to 128 products of size 1; the largest is 45.
    expectClose(await product.data(), products(a, b, count, m, i, o), { abs: 3e-5 });
  });

  test.each([
    [1, 1, 1],
    [1, 5, 33],
    [2, 3, 7],
    [7, 66, 20],
    [8, 9, 16],
  ])('equals float64 with %i rows over %i vectors of %i, both ways', async (m, t, i) => {
    const [a, b, weights] = [
      gaussian(3 * m * i, 1),
      gaussian(3 * t * i, 2),
      gaussian(3 * m * t, 3),
    ];
    const vectors = tf.tensor(b, [3, t, i]);
    const scores = stackedMatMul(tf.tensor(a, [3, m, i]), vectors, false, true);
    expect(scores.shape).toEqual([3, m, t]);
    const turned = (await tf.transpose(vectors, [0, 2, 1]).data()) as Float32Array;
    expectClose(await scores.data(), products(a, turned, 3, m, i, t), { abs: 2e-5 });
    const sums = stackedMatMul(tf.tensor(weights, [3, m, t]), vectors);
    expect(sums.shape).toEqual([3, m, i]);
    expectClose(await sums.data(), products(weights, b, 3, m, t, i), { abs: 2e-5 });
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

const FLAGS = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const;

describeBackends('the gradient of stackedMatMul', () => {
  beforeAll(async () => {
    // tf-core comes without gradients, that of its own product among them; tfjs-node brings them.
    if (!tf.getGradient('BatchMatMul')) {
      await import('@tensorflow/tfjs-core/dist/register_all_gradients');
    }
  });

  describe.each([
    ['two matrices', []],
    ['a stack', [2, 1]],
    ['a stack of much work', [2, 40]],
  ])('of %s', (_, leading) => {
    test.each(FLAGS)('is that of tf.matMul, transposeA=%s, transposeB=%s', async (...flags) => {
      const shapeOf = (rows: number, columns: number, turned: boolean) => [
        ...leading,
        ...(turned ? [columns, rows] : [rows, columns]),
      ];
      const a = tf.randomNormal(shapeOf(8, 32, flags[0]), 0, 1, 'float32', 6);
      const b = tf.randomNormal(shapeOf(32, 65, flags[1]), 0, 1, 'float32', 7);
      const dy = tf.randomNormal([...leading, 8, 65], 0, 1, 'float32', 8);
      const own = tf.grads((x, y) => stackedMatMul(x!, y!, ...flags))([a, b], dy);
      const expected = tf.grads((x, y) => tf.matMul(x!, y!, ...flags))([a, b], dy);
      for (const [i, gradient] of own.entries()) {
        expect(gradient.shape).toEqual(expected[i]!.shape);
        // f32 sums of up to 65 products of size 1.
        expectClose(await gradient.data(), await expected[i]!.data(), { abs: 2e-5 });
      }
    });
  });
});
