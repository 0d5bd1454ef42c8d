import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { SecondMoment } from './second-moment';

const [T, D] = [50, 12];

/** Σ x xᵀ over the rows, by definition in float64. */
function definition(x: Float32Array, rows: readonly number[]): Float64Array {
  const sum = new Float64Array(D * D);
  for (const row of rows) {
    for (let i = 0; i < D; i++) {
      for (let j = 0; j < D; j++) sum[i * D + j]! += x[row * D + i]! * x[row * D + j]!;
    }
  }
  return sum;
}

/** float32 sums of 50 products of up to 4 x 4. */
const CLOSE = { abs: 1e-5 };

describeBackends('SecondMoment', () => {
  const values = gaussian(T * D, 1);
  const all = Array.from({ length: T }, (_, row) => row);
  const even = all.map((row) => (row % 2 === 0 ? 1 : 0));
  const moment = async (x: Float32Array, mask?: ArrayLike<number>) => {
    const tensor = tf.tensor2d(x, [x.length / D, D]);
    const result = await new SecondMoment(D).add(tensor, mask);
    tensor.dispose();
    return result;
  };

  test('equals the definition in float64', async () => {
    const found = await moment(values);
    expectClose(found.sum, definition(values, all), CLOSE);
    expect(found.count).toBe(T);
    expectClose(
      found.normalized(),
      found.sum.map((value) => value / T),
      { rel: 1e-15 },
    );
  });

  test('means and centered moments are those of the definition', async () => {
    const shifted = values.map((value, i) => value + 3 * (i % D));
    const found = await moment(shifted);
    const mean = Float64Array.from({ length: D }, (_, i) =>
      all.reduce((sum, row) => sum + shifted[row * D + i]! / T, 0),
    );
    expectClose(found.mean(), mean, CLOSE);
    const centered = shifted.map((value, i) => value - mean[i % D]!);
    // Of squares that reach 36² in float32.
    const expected = definition(centered, all).map((sum) => sum / T);
    expectClose(found.centered(), expected, { abs: 1e-3 });
  });

  test('a mask leaves rows out, whatever they hold', async () => {
    const padded = values.map((value, i) => (even[Math.floor(i / D)] ? value : Number.NaN));
    const found = await moment(padded, Uint8Array.from(even));
    const rows = all.filter((row) => even[row]);
    expectClose(found.sum, definition(values, rows), CLOSE);
    expect(found.count).toBe(rows.length);
    expect((await moment(values, even.map(Boolean).map(Number))).sum).toEqual(found.sum);
  });

  test('shards add up, and masks that share out the rows do', async () => {
    const whole = await moment(values);
    const [a, b] = [await moment(values.slice(0, 20 * D)), await moment(values.slice(20 * D))];
    const merged = a.clone().merge(b);
    expectClose(merged.sum, whole.sum, CLOSE);
    expectClose(merged.first, whole.first, CLOSE);
    expect([merged.count, a.count, b.count]).toEqual([T, 20, 30]);
    const [own, other] = [
      await moment(values, even),
      await moment(
        values,
        even.map((bit) => 1 - bit),
      ),
    ];
    expectClose(own.merge(other).sum, whole.sum, CLOSE);
    expect(own.count).toBe(T);
  });

  test('batches add in float64: small ones are not lost beside a huge one', async () => {
    const x = tf.tensor2d([4096, 0], [1, 2]);
    const y = tf.tensor2d([1 / 4096, 0], [1, 2]);
    const found = await new SecondMoment(2).add(x);
    for (let i = 0; i < 8; i++) await found.add(y);
    expect([...found.sum]).toEqual([4096 ** 2 + 8 / 4096 ** 2, 0, 0, 0]);
    tf.dispose([x, y]);
  });

  test('no rows add nothing', async () => {
    const found = await moment(values, new Uint8Array(T));
    const empty = tf.zeros([0, D]) as tf.Tensor2D;
    await found.add(empty);
    empty.dispose();
    expect(found.count).toBe(0);
    expect(found.normalized()).toEqual(new Float64Array(D * D));
  });

  // The last two are finite in float32, and their squares are not.
  test.each([
    ['NaN', Number.NaN, 'NaN'],
    ['infinity', Number.NEGATIVE_INFINITY, 'Infinity'],
    ['1e20', 1e20, 'Infinity'],
    ['-3e38', -3e38, 'Infinity'],
  ])('refuses a row with %s, and keeps what it had', async (_name, value, square) => {
    const found = await moment(values);
    const before = found.sum.slice();
    const bad = tf.tensor2d([[...values.slice(0, D - 1), value]]);
    await expect(found.add(bad)).rejects.toThrow(
      new RegExp(
        `^SecondMoment.add: sums of squares must be finite, got (${square}) for x\\[${D - 1}]. Padding belongs in the mask.$`,
      ),
    );
    bad.dispose();
    expect(found.sum).toEqual(before);
    expect(found.count).toBe(T);
  });

  test('leaves no tensors behind', async () => {
    const x = tf.tensor2d(values, [T, D]);
    const bad = tf.fill([1, D], Number.NaN) as tf.Tensor2D;
    await expectNoLeak(async () => {
      await new SecondMoment(D).add(x);
      await new SecondMoment(D).add(x, even);
      await new SecondMoment(D).add(bad).catch(() => undefined);
    });
    tf.dispose([x, bad]);
  });

  test('refuses another width or another length of mask', async () => {
    const x = tf.zeros([2, D + 1]) as tf.Tensor2D;
    await expect(new SecondMoment(D).add(x)).rejects.toThrow(
      `SecondMoment.add: x must be [T, ${D}] and mask [T], got x=[2,${D + 1}], mask=[undefined].`,
    );
    await expect(new SecondMoment(D + 1).add(x, [1])).rejects.toThrow('got x=[2,13], mask=[1]');
    x.dispose();
  });
});

describe('merge', () => {
  test('refuses another dim', () => {
    expect(() => new SecondMoment(2).merge(new SecondMoment(3))).toThrow(
      'SecondMoment.merge: dim must be 2, got 3.',
    );
  });

  test('a clone goes its own way', () => {
    const one = new SecondMoment(1);
    one.sum[0] = 4;
    one.count = 2;
    const copy = one.clone().merge(one);
    expect([one.normalized()[0], one.count, copy.sum[0], copy.count]).toEqual([2, 2, 8, 4]);
  });
});
