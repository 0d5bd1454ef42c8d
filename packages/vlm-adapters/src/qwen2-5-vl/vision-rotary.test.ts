import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { rotateVision, visionAngles } from './vision-rotary';

/** Of a head of 8: two pairs turn with the row, two with the column. */
const FREQUENCIES = Float32Array.of(1, 0.5);

async function rotate(values: ArrayLike<number>, coordinates: number[], heads = 1) {
  const patches = coordinates.length / 2;
  const angles = visionAngles(Int32Array.from(coordinates), FREQUENCIES);
  const x = tf.tensor3d(Float32Array.from(values), [patches, heads, 8]);
  const rotated = rotateVision(x, angles);
  expect(rotated.shape).toEqual(x.shape);
  const result = (await rotated.data()) as Float32Array;
  tf.dispose([x, rotated, angles.cos, angles.sin]);
  return result;
}

const unit = (place: number) => Array.from({ length: 8 }, (_, i) => (i === place ? 1 : 0));

describeBackends('rotary embedding of rows and columns', () => {
  test.each([
    // Pair (0, 4): the row at frequency 1; (1, 5): at 0.5; (2, 6) and (3, 7) the column.
    [0, 4, 3],
    [1, 5, 3 * 0.5],
    [2, 6, 7],
    [3, 7, 7 * 0.5],
  ])('the patch at row 3, column 7 turns pair (%d, %d) by %d', async (first, second, angle) => {
    const expected = unit(first).map((x) => x * Math.cos(angle));
    expected[second] = Math.sin(angle);
    // Sines and cosines in double, kept in float32.
    expectClose(await rotate(unit(first), [3, 7]), expected, { abs: 1e-7 });
    const other = unit(second).map((x) => x * Math.cos(angle));
    other[first] = -Math.sin(angle);
    expectClose(await rotate(unit(second), [3, 7]), other, { abs: 1e-7 });
  });

  test('the patch at row 0, column 0 stays', async () => {
    const values = gaussian(8, 1);
    expect(await rotate(values, [0, 0])).toEqual(values);
  });

  test('every head turns alike, every patch by its own place', async () => {
    const values = gaussian(8, 2);
    const both = await rotate([...values, ...values, ...values, ...values], [1, 2, 5, 0], 2);
    const [a, b] = [await rotate(values, [1, 2]), await rotate(values, [5, 0])];
    expect([...both]).toEqual([...a, ...a, ...b, ...b]);
  });

  test('dot products depend on differences of rows and columns alone', async () => {
    const [q, k] = [gaussian(8, 3), gaussian(8, 4)];
    const dot = async (rowQ: number, columnQ: number, rowK: number, columnK: number) => {
      const a = await rotate(q, [rowQ, columnQ]);
      const b = await rotate(k, [rowK, columnK]);
      return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    };
    const base = await dot(4, 9, 1, 2);
    // Float32 of values near one, eight of them.
    expectClose([await dot(13, 9, 10, 2), await dot(4, 27, 1, 20)], [base, base], { abs: 2e-6 });
    expect(Math.abs((await dot(5, 9, 1, 2)) - base)).toBeGreaterThan(1e-2);
    expect(Math.abs((await dot(4, 10, 1, 2)) - base)).toBeGreaterThan(1e-2);
  });

  test('leaves no tensors behind', () =>
    expectNoLeak(async () => {
      await rotate(gaussian(16, 5), [0, 1, 2, 3]);
    }));
});
