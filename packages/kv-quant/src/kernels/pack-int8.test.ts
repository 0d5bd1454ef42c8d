import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dequantize } from '../dequantize';
import { quantize } from '../quantize';

describeBackends('int8', () => {
  test('no value is further off than half a step, plus f32 rounding', () => {
    const cases = fc.record({
      width: fc.integer({ min: 1, max: 70 }),
      groupSize: fc.integer({ min: 1, max: 40 }),
      spread: fc.constantFrom(1e-42, 1e-9, 1, 5000, 1e37),
      power: fc.constantFrom(1, 3),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(cases, ({ width, groupSize, spread, power, seed }) => {
        const x = gaussian(width, seed).map((value) => (spread * value ** power) / power ** 3);
        const found = dequantize(
          quantize(tf.tensor1d(x), { method: 'int8', groupSize }),
        ).dataSync();
        for (let first = 0; first < width; first += groupSize) {
          const group = x.subarray(first, first + groupSize);
          const scale = Math.max(...group.map(Math.abs)) / 127;
          for (const [i, value] of group.entries()) {
            // The quotient and the product round, and a subnormal scale is off by 2^-150.
            const bound = scale * (0.5 + 2 ** -16) + 127 * 2 ** -150;
            expect(Math.abs(found[first + i]! - value)).toBeLessThanOrEqual(bound);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test('zeros, constants of both signs and the largest number come back', async () => {
    for (const value of [0, 3, -3, 1e-30, 3.4028234663852886e38]) {
      const x = new Float32Array(20).fill(value);
      const found = await dequantize(quantize(tf.tensor1d(x), { method: 'int8' })).data();
      expectClose(found, x, { rel: 2 ** -23 });
    }
  });
});
