import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dequantize } from '../dequantize';
import { quantize } from '../quantize';
import { halfValues } from './half-float';

const affine = fc.record({
  bits: fc.constantFrom<(2 | 3 | 4 | 8)[]>(2, 3, 4, 8),
  groupSize: fc.integer({ min: 1, max: 40 }),
  width: fc.integer({ min: 1, max: 70 }),
  spread: fc.constantFrom(1e-41, 1e-10, 1e-7, 1e-4, 0.1, 1, 300, 5000),
  offset: fc.constantFrom(0, 1e-6, 0.1, -3, 1000, -3e4),
  power: fc.constantFrom(1, 3), // of the noise: heavy tails
  seed: fc.nat(),
});

type Case = typeof affine extends fc.Arbitrary<infer T> ? T : never;

/** Heavy tails are cut where f16 ends: beyond it values saturate, as another test has it. */
function valuesOf({ width, spread, offset, power, seed }: Case): Float32Array {
  return gaussian(3 * width, seed).map((noise) => {
    const value = offset + (spread * noise ** power) / power ** 2;
    return Math.min(Math.max(value, -65504), 65504);
  });
}

/** Values [3, width] packed along either axis; values and parameters of each group, in order. */
function groupsOf(options: Case, axis: 'token' | 'channel') {
  const { bits, groupSize, width } = options;
  const x = valuesOf(options);
  const rows = tf.tensor2d(x, [3, width]);
  const turn = (y: tf.Tensor) => (axis === 'token' ? y : tf.transpose(y));
  const packed = quantize(turn(rows), { method: 'affine', bits, groupSize, axis });
  const found = turn(dequantize(packed)).dataSync();
  const params = turn(packed.params!).dataSync(); // words below 2^31: transpose is exact here
  const groups = Math.ceil(width / groupSize);
  return Array.from({ length: 3 * groups }, (_, i) => {
    const row = Math.floor(i / groups) * width;
    const first = row + (i % groups) * groupSize;
    const end = Math.min(first + groupSize, row + width);
    return {
      x: x.subarray(first, end),
      found: found.subarray(first, end),
      scale: halfValues()[params[i]! & 0xffff]!,
      zero: halfValues()[params[i]! >>> 16]!,
    };
  });
}

describeBackends('affine quantization', () => {
  test.each(['token', 'channel'] as const)(
    'along the axis %s no value is further off than half a stored step, plus f32 rounding',
    (axis) => {
      fc.assert(
        fc.property(affine, (options) => {
          for (const { x, found, scale } of groupsOf(options, axis)) {
            for (const [i, value] of found.entries()) {
              // (x - zero) / scale is rounded twice to f32 (255 * 2^-23 steps), the result once.
              // A span of subnormals, divided by the levels, may round to a scale of 0.
              const rounding = 2 ** -24 * Math.abs(value) + 255 * 2 ** -150;
              const bound = scale * (0.5 + 255 * 2 ** -23) + rounding;
              expect(Math.abs(x[i]! - value)).toBeLessThanOrEqual(bound);
            }
          }
        }),
        { numRuns: 150 },
      );
    },
  );

  test('the f16 params cost at most a step of f16 each', () => {
    fc.assert(
      fc.property(affine, (options) => {
        for (const { x, scale, zero } of groupsOf(options, 'token')) {
          const [min, max] = [Math.min(...x), Math.max(...x)];
          const ulp = Math.max(Math.abs(min) * 2 ** -10, 2 ** -24); // at least the step of f16
          expect(zero).toBeLessThanOrEqual(min);
          expect(zero).toBeGreaterThan(min - 2 * ulp);
          const exact = (max - zero) / (2 ** options.bits - 1);
          expect(scale).toBeGreaterThanOrEqual(exact * (1 - 2 ** -23) - 2 ** -150);
          expect(scale).toBeLessThanOrEqual(exact * (1 + 2 ** -10) + 2 ** -24);
        }
      }),
      { numRuns: 150 },
    );
  });

  test.each([
    [4, 0.75, 0],
    [8, -2.5, 0],
    [2, 0, 0],
    // Not an f16: off by at most half a 15th of the distance to the next f16, or f32 rounding.
    [4, 0.1, 2 ** -14 / 30],
    [8, 1e-9, 2 ** -25],
    [3, 1e-41, 2 ** -25], // a subnormal float32
  ] as const)('a constant group, %d bits of %d', async (bits, value, abs) => {
    const x = tf.fill([1, 40], value);
    const found = await dequantize(quantize(x, { method: 'affine', bits })).data();
    expectClose(found, new Float32Array(40).fill(value), { abs });
  });

  test('one outlier costs its own group half a step, and no other group anything', async () => {
    const x = gaussian(64, 4);
    const spec = { method: 'affine', bits: 4 } as const;
    const before = await dequantize(quantize(tf.tensor2d(x, [1, 64]), spec)).data();
    x[3] = 1000;
    const after = await dequantize(quantize(tf.tensor2d(x, [1, 64]), spec)).data();
    expect(after.slice(32)).toEqual(before.slice(32));
    expectClose(after, x, { abs: (1003 / 15 / 2) * (1 + 2 ** -9) });
  });

  test('values that f16 cannot reach saturate', async () => {
    const restored = (values: number[], bits: 4 | 8) =>
      dequantize(quantize(tf.tensor1d(values), { method: 'affine', bits, groupSize: 4 })).data();
    // The zero point stops at -65504 and the scale at 65504, 15 steps of it above the zero point.
    expectClose(await restored([-1e6, -65504, 0], 4), [-65504, -65504, 0], { abs: 2184 });
    expectClose(await restored([0, 3e38], 4), [0, 15 * 65504], {});
    expectClose(await restored([1e5, 1e5], 8), [1e5, 1e5], { abs: 68 });
    expectClose(await restored([-1e5, -1e5], 8), [-65504, -65504], {});
  });
});
