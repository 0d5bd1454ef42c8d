import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { dequantize } from '../dequantize';
import type { LloydMaxSpec } from '../quant-spec';
import { quantize } from '../quantize';
import { unpackCodes } from './code-words';
import { rotationMatrix } from './hadamard.reference';
import { lloydMaxBorders, lloydMaxCentroids } from './lloyd-max-codebook';

const restored = (x: tf.Tensor, spec: LloydMaxSpec) => dequantize(quantize(x, spec)).data();

/** |found - x|^2 / |x|^2. */
function distortion(found: ArrayLike<number>, x: ArrayLike<number>): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    error += (found[i]! - x[i]!) ** 2;
    norm += x[i]! ** 2;
  }
  return error / norm;
}

const WIDTHS = [2, 3, 4] as const;
const D = { 2: 0.1175, 3: 0.0345, 4: 0.0095 };

describe('the codebook', () => {
  test.each(WIDTHS)(
    '%d bits: centroids are the means of their cells, and D is as known',
    (bits) => {
      const [centroids, borders] = [lloydMaxCentroids(bits), lloydMaxBorders(bits)];
      let total = 0;
      for (const [code, centroid] of centroids.entries()) {
        const [from, to] = [borders[code - 1] ?? -9, borders[code] ?? 9];
        const steps = 20_000; // middles of intervals: off by 1e-8
        let [mass, mean] = [0, 0];
        for (let i = 0; i < steps; i++) {
          const x = from + ((i + 0.5) * (to - from)) / steps;
          const density = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * ((to - from) / steps);
          mass += density;
          mean += x * density;
          total += (x - centroid) ** 2 * density;
        }
        expect(mean / mass).toBeCloseTo(centroid, 6);
      }
      expect(total).toBeCloseTo(D[bits], 4);
    },
  );
});

describeBackends('Lloyd-Max', () => {
  test('a vector of each size is turned by H D / sqrt(n), block by block', async () => {
    for (const [size, blocks] of [
      [64, [64]],
      [44, [32, 8, 4]],
      [7, [4, 2, 1]],
    ] as const) {
      const x = gaussian(size, 3);
      const rotated: number[] = [];
      for (const block of blocks) {
        const part = x.subarray(rotated.length, rotated.length + block);
        const rows = rotationMatrix(block);
        rotated.push(...rows.map((row) => row.reduce((sum, h, i) => sum + h * part[i]!, 0)));
      }
      const turned = quantize(tf.tensor1d(x), { method: 'lloyd-max', bits: 4 });
      const plain = quantize(tf.tensor1d(rotated), {
        method: 'lloyd-max',
        bits: 4,
        rotation: 'none',
      });
      const codes = [turned, plain].map((packed) => {
        const list = new Uint8Array(size);
        unpackCodes(Int32Array.from(packed.codes.dataSync()), 0, size, 4, list);
        return [...list];
      });
      const rms = Math.sqrt(rotated.reduce((sum, v) => sum + v * v, 0) / size);
      for (const [i, value] of rotated.entries()) {
        const nearest = Math.min(...[...lloydMaxBorders(4)].map((b) => Math.abs(value / rms - b)));
        if (nearest > 1e-4) expect(codes[0]![i]).toBe(codes[1]![i]);
      }
    }
  });

  test.each(WIDTHS)('%d bits of Gaussians: the known distortion', async (bits) => {
    const x = gaussian(200 * 512, bits);
    for (const rotation of ['hadamard', 'none'] as const) {
      const found = await restored(tf.tensor2d(x, [200, 512]), {
        method: 'lloyd-max',
        bits,
        rotation,
      });
      expect(distortion(found, x) / D[bits]).toBeGreaterThan(0.97);
      expect(distortion(found, x) / D[bits]).toBeLessThan(1.03); // 100,000 values
    }
  });

  test.each(WIDTHS)('%d bits of heavy tails and outliers: rotated, no worse', async (bits) => {
    const noise = gaussian(100 * 256, bits);
    const heavy = noise.map((value) => value ** 3);
    const outliers = noise.map((value, i) => (i % 64 === 5 ? 40 * value : value));
    for (const x of [heavy, outliers]) {
      const found = await restored(tf.tensor2d(x, [100, 256]), { method: 'lloyd-max', bits });
      // Measured 0.60 to 0.93 of D; unrotated, 4 to 30 times D.
      expect(distortion(found, x)).toBeLessThan(D[bits]);
    }
  });

  test.each(WIDTHS)('%d bits: constants and spikes are exact in groups of 4^k', async (bits) => {
    for (const size of [16, 64, 256]) {
      for (const value of [1, -2.5, 1e-30, 1e30]) {
        const constant = new Float32Array(size).fill(value);
        const spike = new Float32Array(size);
        spike[size - 3] = value;
        for (const x of [constant, spike]) {
          const found = await restored(tf.tensor1d(x), { method: 'lloyd-max', bits });
          expectClose(found, x, { abs: 1e-6 * Math.abs(value) }); // f32 sums
        }
      }
    }
  });

  test.each(WIDTHS)('%d bits: a constant of any size is little worse than D', async (bits) => {
    for (const size of [8, 32, 80, 128, 100]) {
      const x = new Float32Array(size).fill(3);
      const found = await restored(tf.tensor1d(x), { method: 'lloyd-max', bits });
      expect(distortion(found, x)).toBeLessThan(1.1 * D[bits]); // measured up to 1.088
    }
  });

  test('zeros, subnormals and the largest numbers', async () => {
    const spec = { method: 'lloyd-max', bits: 4 } as const;
    expectClose(await restored(tf.zeros([40]), spec), new Float32Array(40), {});
    const noise = gaussian(64, 1);
    const tiny = noise.map((value) => value * 1e-42);
    // The factor is a multiple of 2^-149, and so are the values.
    expectClose(await restored(tf.tensor1d(tiny), spec), tiny, { abs: 0.4e-42 });
    const huge = noise.map((value) => value * 1e38);
    expect(distortion(await restored(tf.tensor1d(huge), spec), huge)).toBeLessThan(0.02);
  });

  test('the factor is the best of its codes: no other makes the error smaller', async () => {
    const x = gaussian(64, 9);
    const found = await restored(tf.tensor1d(x), { method: 'lloyd-max', bits: 2 });
    for (const factor of [0.99, 0.999, 1.001, 1.01]) {
      const scaled = found.map((value) => factor * value);
      expect(distortion(scaled, x)).toBeGreaterThan(distortion(found, x));
    }
  });
});
