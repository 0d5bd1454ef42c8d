import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dequantizeAffine } from './dequantize-affine';
import { halfValues } from './kernels/half-float';
import { packedBytesPerToken } from './packed-bytes-per-token';
import type { PackedTensor } from './packed-tensor';
import { quantizeAffine } from './quantize-affine';

/** Scale and zero point of the group of each channel, in the order of the values. */
function spreadParams({ params, channels, groupSize }: PackedTensor) {
  const words = params!.dataSync();
  const groups = Math.ceil(channels / groupSize);
  return (i: number) => {
    const group = Math.floor((i % channels) / groupSize);
    const word = words[Math.floor(i / channels) * groups + group]!;
    return { scale: halfValues()[word & 0xffff]!, zero: halfValues()[word >>> 16]! };
  };
}

/** Groups of values within +-65504: noise of `gaussian` stays below 6.7. */
const affine = fc.record({
  bits: fc.constantFrom<(4 | 8)[]>(4, 8),
  groupSize: fc.integer({ min: 1, max: 40 }),
  channels: fc.integer({ min: 1, max: 70 }),
  spread: fc.constantFrom(1e-10, 1e-7, 1e-4, 0.1, 1, 300, 5000),
  offset: fc.constantFrom(0, 1e-6, 0.1, -3, 1000, -3e4),
  seed: fc.nat(),
});

describeBackends('quantizeAffine', () => {
  test('no value is further off than half a stored step, plus f32 rounding', () => {
    fc.assert(
      fc.property(affine, ({ channels, spread, offset, seed, ...options }) => {
        const x = gaussian(3 * channels, seed).map((value) => offset + spread * value);
        const packed = quantizeAffine(tf.tensor2d(x, [3, channels]), options);
        const found = dequantizeAffine(packed).dataSync();
        const params = spreadParams(packed);
        for (let i = 0; i < x.length; i++) {
          // (x - zero) / scale is rounded twice to f32 (255 * 2^-23 steps), the result once.
          const { scale } = params(i);
          const bound = scale * (0.5 + 255 * 2 ** -23) + 2 ** -24 * Math.abs(found[i]!);
          expect(Math.abs(x[i]! - found[i]!)).toBeLessThanOrEqual(bound);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('the f16 params cost at most a step of f16 each', () => {
    fc.assert(
      fc.property(affine, ({ channels, spread, offset, seed, ...options }) => {
        const x = gaussian(channels, seed).map((value) => offset + spread * value);
        const params = spreadParams(quantizeAffine(tf.tensor2d(x, [1, channels]), options));
        for (let c = 0; c < channels; c += options.groupSize) {
          const group = x.subarray(c, c + options.groupSize);
          const [min, max] = [Math.min(...group), Math.max(...group)];
          const { scale, zero } = params(c);
          const ulp = Math.max(Math.abs(min) * 2 ** -10, 2 ** -24); // at least the step of f16
          expect(zero).toBeLessThanOrEqual(min);
          expect(zero).toBeGreaterThan(min - 2 * ulp);
          const exact = (max - zero) / (2 ** options.bits - 1);
          expect(scale).toBeGreaterThanOrEqual(exact * (1 - 2 ** -23));
          expect(scale).toBeLessThanOrEqual(exact * (1 + 2 ** -10) + 2 ** -24);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('16 bits are the nearest half', async () => {
    const x = gaussian(4 * 33, 3);
    const found = dequantizeAffine(
      quantizeAffine(tf.tensor2d(x, [4, 33]), { bits: 16, groupSize: 1 }),
    );
    expectClose(await found.data(), x, { rel: 2 ** -11, abs: 2 ** -25 });
  });

  test.each([
    [4, 0.75, 0],
    [8, -2.5, 0],
    [4, 0, 0],
    // Not an f16: off by at most half a 15th of the distance to the next f16, or f32 rounding.
    [4, 0.1, 2 ** -14 / 30],
    [8, 1e-9, 2 ** -25],
  ] as const)('a constant group, %d bits of %d', async (bits, value, abs) => {
    const x = tf.fill([1, 40], value);
    const found = await dequantizeAffine(quantizeAffine(x, { bits, groupSize: 32 })).data();
    expectClose(found, new Float32Array(40).fill(value), { abs });
  });

  test.each([4, 8] as const)('a NaN or an infinity makes its group NaN, %d bits', async (bits) => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const x = gaussian(2 * 10, 5);
      x[13] = bad;
      const options = { bits, groupSize: 4 };
      const found = await dequantizeAffine(quantizeAffine(tf.tensor2d(x, [2, 10]), options)).data();
      const nan = [...found.keys()].filter((i) => Number.isNaN(found[i]));
      expect(nan).toEqual([10, 11, 12, 13]);
    }
  });

  test('16 bits keep NaN and infinities, each alone', async () => {
    const x = [1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
    const packed = quantizeAffine(tf.tensor2d(x, [1, 5]), { bits: 16, groupSize: 4 });
    expect([...(await dequantizeAffine(packed).data())]).toEqual(x);
  });

  test('values that f16 cannot reach saturate', async () => {
    const half = quantizeAffine(tf.tensor1d([1e6, -1e6, 65519]), { bits: 16, groupSize: 4 });
    expectClose(await dequantizeAffine(half).data(), [65504, -65504, 65504], {});
    // The zero point stops at -65504 and the scale at 65504, 15 steps of it above the zero point.
    const low = quantizeAffine(tf.tensor1d([-1e6, -65504, 0]), { bits: 4, groupSize: 4 });
    expectClose(await dequantizeAffine(low).data(), [-65504, -65504, 0], { abs: 2184 });
    const high = quantizeAffine(tf.tensor1d([0, 3e38]), { bits: 4, groupSize: 4 });
    expectClose(await dequantizeAffine(high).data(), [0, 15 * 65504], {});
    const far = quantizeAffine(tf.tensor1d([1e5, 1e5]), { bits: 8, groupSize: 4 });
    expectClose(await dequantizeAffine(far).data(), [1e5, 1e5], { abs: 68 });
    const under = quantizeAffine(tf.tensor1d([-1e5, -1e5]), { bits: 8, groupSize: 4 });
    expectClose(await dequantizeAffine(under).data(), [-65504, -65504], {});
  });

  test.each([[[3, 0, 40]], [[0]], [[2, 3, 0]], [[1]], [[33]], [[2, 3, 4, 70]]])(
    'shape [%s] is kept and takes the bytes that were said',
    (shape) => {
      for (const bits of [4, 8, 16] as const) {
        for (const groupSize of [1, 32, 100]) {
          const x = tf.zeros(shape);
          const packed = quantizeAffine(x, { bits, groupSize });
          const values = dequantizeAffine(packed);
          expect(values.shape).toEqual(shape);
          expect(packed.channels).toBe(shape.at(-1));
          const channels = shape.at(-1)!;
          const tokens = shape.slice(0, -1).reduce((product, size) => product * size, 1);
          const bytes = tokens * packedBytesPerToken({ channels, bits, groupSize });
          expect(packed.sizeBytes).toBe(bytes);
          const { codes, params } = packed;
          const allocated = codes.dataSync().byteLength + (params?.dataSync().byteLength ?? 0);
          expect(allocated).toBe(bytes);
          expect(codes.dtype).toBe('int32');
        }
      }
    },
  );

  test('leaves no tensors behind, inside a tidy neither', async () => {
    const x = tf.tensor2d(gaussian(5 * 40, 1), [5, 40]);
    await expectNoLeak(() => {
      for (const bits of [4, 8, 16] as const) {
        const packed = quantizeAffine(x, { bits, groupSize: 32 });
        const copy = packed.clone();
        packed.dispose();
        dequantizeAffine(copy).dispose(); // the clone outlives the original
        copy.dispose();
        tf.tidy(() => dequantizeAffine(quantizeAffine(x, { bits, groupSize: 8 }))).dispose();
      }
    });
  });

  test('refuses what it cannot pack', () => {
    const x = tf.zeros([2, 4]);
    const options = { bits: 8, groupSize: 4 } as const;
    expect(() => quantizeAffine(x, { bits: 3 as 4, groupSize: 4 })).toThrow('got bits=3');
    for (const groupSize of [0, -1, 1.5, Number.NaN]) {
      const expected = `groupSize must be a positive integer, got groupSize=${groupSize}`;
      expect(() => quantizeAffine(x, { bits: 8, groupSize })).toThrow(expected);
    }
    expect(() => quantizeAffine(tf.scalar(1), options)).toThrow(RangeError);
    expect(() => quantizeAffine(tf.cast(x, 'int32'), options)).toThrow(TypeError);
  });
});
