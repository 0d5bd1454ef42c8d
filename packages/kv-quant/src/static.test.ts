import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { bytesPerToken } from './bytes-per-token';
import { concatPacked } from './concat-packed';
import { dequantize } from './dequantize';
import { fitStatic } from './fit-static';
import type { QuantSpec } from './quant-spec';
import { quantize } from './quantize';
import type { StaticSpec } from './static-spec';

/** Channels whose size falls to a twentieth, about means of their own, [n, width]. */
function falling(n: number, width: number, seed: number): Float32Array {
  return Float32Array.from(
    gaussian(n * width, seed),
    (v, i) => v * 20 ** (-(i % width) / width) + ((i % width) - 3) / 2,
  );
}

const steps = (bands: StaticSpec['bands'], scales: number[], zeros: number[]): StaticSpec => ({
  ...{ method: 'static', bands },
  ...{ scales: Float32Array.from(scales), zeros: Float32Array.from(zeros) },
});

function squaredError(x: Float32Array, width: number, spec: QuantSpec): number {
  const found = tf.tidy(() =>
    dequantize(quantize(tf.tensor2d(x, [x.length / width, width]), spec)).dataSync(),
  );
  return x.reduce((sum, value, i) => sum + (value - found[i]!) ** 2, 0);
}

describeBackends('static scales', () => {
  test('each band begins at a word, low bits first, and 0 bits store nothing', () => {
    const spec = steps(
      [8, 4, 0, 2].map((bits, i) => ({ bits: bits as 8, channels: [1, 3, 1, 2][i]! })),
      [1, 2, 2, 0.5, 9, 1, 1],
      [-100, 0, -1, 0, 7, 0, 0],
    );
    const packed = quantize(tf.tensor2d([[28, 4, 3, 7.5, 5, 3, 1]]), spec);
    expect(packed.codes.dataSync()).toEqual(Int32Array.of(128, 0xf22, 0b0111));
    expect(packed.params).toBeUndefined();
    expect([...dequantize(packed).dataSync()]).toEqual([28, 4, 3, 7.5, 7, 3, 1]);
    expect(bytesPerToken(spec, 7)).toBe(12);
    expect(packed.sizeBytes).toBe(12);
  });

  test('a value within the range is off by half a step, one outside by its distance to the end', () => {
    const fitted = fitStatic(falling(300, 12, 1), 12, { bits: 4 });
    const x = falling(200, 12, 2).map((value) => 1.7 * value);
    const found = dequantize(quantize(tf.tensor2d(x, [200, 12]), fitted)).dataSync();
    let outside = 0;
    for (const [i, value] of x.entries()) {
      const [scale, zero] = [fitted.scales[i % 12]!, fitted.zeros[i % 12]!];
      const end = Math.min(Math.max(value, zero), zero + 15 * scale);
      if (end !== value) outside++;
      const bound = end === value ? scale / 2 : Math.abs(value - end);
      expect(Math.abs(value - found[i]!)).toBeLessThanOrEqual(bound + 1e-6); // rounding to f32
    }
    expect(outside).toBeGreaterThan(100);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    '%d is refused, as no code could say it',
    (bad) => {
      const spec = steps([{ bits: 2, channels: 2 }], [1, 1], [0, 0]);
      expect(() => quantize(tf.tensor2d([[1, bad]]), spec)).toThrow(
        `quantize: x must be finite where scales are static, got ${bad} in channel 1.`,
      );
    },
  );

  test('heads have scales of their own', () => {
    const spec = steps([{ bits: 8, channels: 1 }], [1, 0.25], [0, -10]);
    const x = tf.tensor4d([5, 6, -7.25, -8, 5, 6, -7.25, -8], [2, 2, 2, 1]);
    expect(dequantize(quantize(x, spec)).dataSync()).toEqual(x.dataSync());
    expect(() => quantize(tf.zeros([3, 2, 1]), spec)).toThrow('must be [..., 2, T, 1]');
    const packed = quantize(x, spec);
    expect(() => concatPacked(packed, packed, 1)).toThrow('axis must not be that of the heads');
    expect(dequantize(concatPacked(packed, packed, 0)).shape).toEqual([4, 2, 2, 1]);
  });

  test('leaves nothing behind', () =>
    expectNoLeak(() => {
      const spec = fitStatic(falling(50, 40, 1), 40, { bits: 3, bands: true });
      const x = tf.zeros([2, 3, 40]);
      const packed = quantize(x, spec);
      x.dispose();
      dequantize(packed).dispose();
      packed.dispose();
    }));
});

describe('fitStatic', () => {
  const samples = falling(500, 32, 3);

  test.each([2, 3, 4, 8])(
    '%i bits: no range that is wider or narrower has a smaller error',
    (bits) => {
      const fitted = fitStatic(samples, 32, { bits });
      const least = squaredError(samples, 32, fitted);
      for (const factor of [0.8, 0.9, 1.1, 1.2]) {
        const scales = fitted.scales.map((scale) => factor * scale);
        const half = (2 ** bits - 1) / 2;
        const zeros = fitted.zeros.map((zero, c) => zero + half * (fitted.scales[c]! - scales[c]!));
        expect(squaredError(samples, 32, { ...fitted, scales, zeros })).toBeGreaterThan(least);
      }
    },
  );

  test('bands have less error in the same words, and their widths fall', () => {
    for (const bits of [2, 3, 4]) {
      const uniform = fitStatic(samples, 32, { bits });
      const bands = fitStatic(samples, 32, { bits, bands: true });
      expect(bytesPerToken(bands, 32)).toBeLessThanOrEqual(bytesPerToken(uniform, 32));
      const error = squaredError(samples, 32, bands);
      expect(error).toBeLessThan(0.9 * squaredError(samples, 32, uniform));
      const widths = bands.bands.map((band) => band.bits);
      expect(widths).toEqual([...widths].sort((a, b) => b - a));
    }
  });

  test('bands are the best of all that the words allow', () => {
    const x = falling(60, 16, 4);
    const found = squaredError(x, 16, fitStatic(x, 16, { bits: 4, bands: true }));
    const alone = ([8, 4, 2] as const).map((bits) => fitStatic(x, 16, { bits }));
    const least = [
      [0, 16, 0],
      [4, 0, 12],
      [0, 8, 8],
    ].map((counts) => {
      let from = 0;
      return counts.reduce((sum, count, i) => {
        const [first, end] = [from, from + count];
        from = end;
        const only = x.map((value, at) =>
          at % 16 >= first && at % 16 < end ? value : alone[i]!.zeros[at % 16]!,
        );
        return sum + squaredError(only, 16, alone[i]!);
      }, 0);
    });
    expect(found).toBeLessThanOrEqual(Math.min(...least) * (1 + 1e-6)); // sums in f64 and f32
  });

  test('what errors cost moves the bits, and a channel that never moved costs none', () => {
    const costs = Float64Array.from({ length: 32 }, (_, c) => (c === 31 ? 1e6 : 1));
    const { bands } = fitStatic(samples, 32, { bits: 4, bands: true, costs });
    expect(bands).toEqual([{ bits: 4, channels: 32 }]);
    const still = fitStatic(new Float32Array(20).fill(0.3), 1, { bits: 2 });
    expect(squaredError(new Float32Array(3).fill(0.3), 1, still)).toBe(0);
  });

  test('refuses what it cannot fit', () => {
    const fit = (x: number[], channels: number, options: Parameters<typeof fitStatic>[2]) => () =>
      fitStatic(Float32Array.from(x), channels, options);
    expect(fit([], 2, { bits: 4 })).toThrow('at least one, got 0 values');
    expect(fit([1, 2, 3], 2, { bits: 4 })).toThrow('2 channels, at least one, got 3 values');
    expect(fit([1, Number.NaN], 2, { bits: 4 })).toThrow('must be finite');
    expect(fit([1, 2], 2, { bits: 5 })).toThrow('one of 2, 3, 4, 8, got 5');
    expect(fit([1, 2], 2, { bits: 9, bands: true })).toThrow('above 0, at most 8, got 9');
    expect(fit([1, 2], 2, { bits: 4, costs: [1] })).toThrow('costs must be 2 values, got 1');
  });

  test('a table that does not fit is refused', () => {
    const x = tf.zeros([1, 2]);
    const refuse = (spec: StaticSpec, message: string) =>
      expect(() => quantize(x, spec)).toThrow(message);
    const band = { bits: 4, channels: 2 } as const;
    refuse(steps([{ ...band, channels: 3 }], [1, 1, 1], [0, 0, 0]), 'of all 2 channels, got 3');
    refuse(steps([{ ...band, bits: 5 as 4 }], [1, 1], [0, 0]), 'got bits=5, channels=2');
    refuse(steps([], [], []), 'of all 2 channels, got 0');
    refuse(steps([band], [1, 1, 1], [0, 0, 0]), 'got 3 and 3');
    refuse(steps([band], [1, 0], [0, 0]), 'scales above 0');
    refuse(steps([band], [1, 1], [0, Number.NaN]), '2 finite values');
    const [a, b] = [1, 2].map((scale) => quantize(x, steps([band], [scale, 1], [0, 0])));
    expect(() => concatPacked(a!, b!)).toThrow('the same static scales, got two tables');
    const again = quantize(x, steps([band], [1, 1], [0, 0]));
    expect(concatPacked(a!, again).shape).toEqual([2, 2]);
  });
});
