/** Held against the library hqq, and against plain affine groups. */
import { describeBackends, fixture, gaussian, readSafetensors } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { dequantize } from '../dequantize';
import type { QuantSpec } from '../quant-spec';
import { quantize } from '../quantize';
import { hqqRound } from './pack-hqq';
import { ROUNDER } from './pack-kernel';

const inputs = readSafetensors(fixture('fixtures/peft/kv/inputs.safetensors'));
const goldens = readSafetensors(fixture('fixtures/peft/kv/hqq.safetensors'));
const ROWS = 24;

const KINDS = ['gaussian', 'heavy', 'outlier'] as const;
const entries = ([4, 2] as const).flatMap((bits) => KINDS.map((kind) => [bits, kind] as const));

const meanSquare = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0) / a.length;

const sumOfErrors = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0);

describe('hqqRound', () => {
  test.each(entries)('as often as the library runs it: its codes, %d bits, %s', (bits, kind) => {
    const x = Float32Array.from(inputs.get(kind)!.data);
    const golden = (part: string) => goldens.get(`hqq${bits}.axis1.${kind}.${part}`)!.data;
    const [codes, scales, zeros] = [golden('codes'), golden('scale'), golden('zero')];
    const levels = 2 ** bits - 1;
    let off = 0;
    for (let row = 0; row < ROWS; row++) {
      const group = { first: 64 * row, count: 64, stride: 1 };
      const values = x.subarray(64 * row, 64 * row + 64);
      const scale = scales[row]!;
      let zero = Math.min(...values);
      const rounds = bits === 4 && kind === 'gaussian' ? 18 : 20;
      for (let round = 0; round < rounds; round++) {
        zero = hqqRound(x, group, levels, scale, zero).zero;
      }
      // In steps; the library works in float32, where two runs differ by 2.5e-4.
      expect(Math.abs(-zero / scale - zeros[row]!)).toBeLessThan(1e-3);
      for (const [c, value] of values.entries()) {
        const steps = (value - zero) / scale;
        const code = Math.min(Math.max(steps, 0), levels) + ROUNDER - ROUNDER;
        if (code !== codes[64 * row + c]) off++;
      }
    }
    expect(off).toBeLessThanOrEqual(Math.ceil(0.001 * ROWS * 64)); // ties
  });
});

const restored = (x: tf.Tensor, spec: QuantSpec) => dequantize(quantize(x, spec)).data();

describeBackends('HQQ', () => {
  // Mean squared errors of the library over the whole tensors.
  test.each([
    [4, 'gaussian', 0.00765],
    [4, 'heavy', 0.04352],
    [4, 'outlier', 0.9569],
    [2, 'gaussian', 0.1889],
    [2, 'heavy', 1.0486],
    [2, 'outlier', 8.189],
  ] as const)('%d bits of %s: no worse than the library', async (bits, kind, library) => {
    const { data, shape } = inputs.get(kind)!;
    const x = tf.tensor(Float32Array.from(data), shape);
    const found = await restored(x, { method: 'hqq', bits, groupSize: 64 });
    // Measured 0.9998 to 1.014: groups stop by themselves, and zero points are halves.
    expect(meanSquare(found, data) / library).toBeLessThan(1.02);
  });

  test('its absolute errors are never above those of affine groups of the same scale', async () => {
    for (const power of [1, 3]) {
      const x = gaussian(64 * 40, power).map((value) => value ** power);
      for (const bits of [2, 3, 4, 8] as const) {
        for (const axis of ['token', 'channel'] as const) {
          const spec = { bits, axis, groupSize: 10 };
          const tensor = tf.tensor2d(x, [40, 64]);
          const [hqq, affine] = [
            await restored(tensor, { ...spec, method: 'hqq' }),
            await restored(tensor, { ...spec, method: 'affine' }),
          ];
          // f32 rounding of values up to 60.
          expect(sumOfErrors(hqq, x)).toBeLessThanOrEqual(sumOfErrors(affine, x) + 1e-3);
        }
      }
    }
  });

  test('constant, zero and tiny groups come back as from affine groups', async () => {
    for (const value of [0, 0.75, 0.1, 1e-9, 1e-41]) {
      const x = tf.fill([2, 40], value);
      const affine = await restored(x, { method: 'affine', bits: 4 });
      const hqq = await restored(x, { method: 'hqq', bits: 4 });
      expect(sumOfErrors(hqq, [...x.dataSync()])).toBeLessThanOrEqual(
        sumOfErrors(affine, [...x.dataSync()]),
      );
    }
  });
});
