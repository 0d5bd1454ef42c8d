/**
 * HQQ, int8, codebooks and static scales on webgpu hold the codes of cpu, save where a value lies within 1e-4 of a
 * step of a border.
 */
import {
  describeWebGpu,
  expectClose,
  expectNoLeak,
  fixture,
  gaussian,
  readSafetensors,
} from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { dequantize } from '../dequantize';
import { fitStatic } from '../fit-static';
import { unpackCodes } from '../kernels/code-words';
import { hadamardBlocks } from '../kernels/hadamard';
import { rotationMatrix } from '../kernels/hadamard.reference';
import { lloydMaxBorders } from '../kernels/lloyd-max-codebook';
import { type PackedLayout, packedLayout } from '../packed-layout';
import type { QuantSpec } from '../quant-spec';
import { quantize } from '../quantize';
import type { StaticSpec } from '../static-spec';
import { hardValues } from '../testing/hard-values';

const SHAPE = [3, 64, 44]; // groups and words that end early, in rows and in tokens
const SIZE = tf.util.sizeFromShape(SHAPE);
const noise = gaussian(SIZE, 7);
const fixed = readSafetensors(fixture('fixtures/peft/kv/inputs.safetensors'));
const golden = (kind: string) => Float32Array.from(fixed.get(kind)!.data).slice(0, SIZE);

const CLASSES: Record<string, Float32Array> = {
  gaussian: golden('gaussian'),
  'heavy tails': golden('heavy'),
  outliers: golden('outlier'),
  constant: golden('constant'),
  zeros: noise.map((_, i) => (i % 2 ? 0 : -0)),
  'an offset': noise.map((value) => value + 30),
  subnormal: noise.map((value) => 1e-40 * value),
  'almost subnormal': noise.map((value) => 1e-37 * value),
  huge: noise.map((value) => 1e37 * value),
};

async function pack(backend: string, x: Float32Array, spec: QuantSpec) {
  await tf.setBackend(backend);
  const packed = quantize(tf.tensor(x, SHAPE), spec);
  const values = dequantize(packed);
  return {
    words: (await packed.codes.data()) as Int32Array,
    params: ((await packed.params?.data()) ?? new Int32Array(0)) as Int32Array,
    values: (await values.data()) as Float32Array,
  };
}

describeWebGpu('methods of webgpu', () => {
  const hqq = ([2, 3, 4, 8] as const).flatMap((bits) =>
    (['token', 'channel'] as const).map((axis) => ({ method: 'hqq' as const, bits, axis })),
  );

  const all = [...Object.values(CLASSES), hardValues(SIZE, 1), hardValues(SIZE, 2)];

  test.each(hqq)('%o: words and values of cpu', async (spec) => {
    let moved = 0;
    for (const x of all) {
      const [cpu, webgpu] = [await pack('cpu', x, spec), await pack('webgpu', x, spec)];
      const others = cpu.params.filter((param, i) => param !== webgpu.params[i]).length;
      if (others === 0) expect(webgpu).toEqual(cpu);
      moved += others;
    }
    // Of 4,000 or more groups: where a zero point lies on a border of halves, or the sum of errors
    // falls by just what it must, rounding decides. Measured 0 and 1.
    expect(moved).toBeLessThanOrEqual(2);
  });

  test.each<QuantSpec>([{ method: 'int8', groupSize: 20 }, { method: 'int8' }])(
    '%o: words and values of cpu',
    async (spec) => {
      for (const x of all) {
        expect(await pack('webgpu', x, spec)).toEqual(await pack('cpu', x, spec));
      }
    },
  );

  const books = ([2, 3, 4] as const).flatMap((bits) =>
    (['hadamard', 'none'] as const).flatMap((rotation) =>
      [undefined, 16].map((groupSize) => {
        return { method: 'lloyd-max' as const, bits, rotation, groupSize };
      }),
    ),
  );

  test.each(books)('%o: codes of cpu, but for borders, and its values', async (spec) => {
    const layout = packedLayout('test', spec, SHAPE);
    for (const [name, x] of Object.entries(CLASSES)) {
      const [cpu, webgpu] = [await pack('cpu', x, spec), await pack('webgpu', x, spec)];
      const [expected, found] = [codesOf(cpu.words, layout), codesOf(webgpu.words, layout)];
      const moved = new Set<number>(); // groups, whose values may differ then
      for (const [i, code] of expected.entries()) {
        if (code === found[i]) continue;
        const apart = Math.abs(code - found[i]!);
        const border = lloydMaxBorders(spec.bits)[Math.min(code, found[i]!)]!;
        const u = turnedAt(x, i, layout);
        expect({ name, i, apart, near: Math.abs(u - border) < 1e-4 }).toMatchObject({
          apart: 1,
          near: true,
        });
        moved.add(Math.floor(i / layout.channels));
      }
      expect(moved.size).toBeLessThan(20); // of 192 rows
      const same = (values: Float32Array) =>
        values.map((value, i) => (moved.has(Math.floor(i / layout.channels)) ? 0 : value));
      const most = Math.max(...x.map(Math.abs));
      // Sums of 44 terms in f32. Of subnormal factors cpu multiplies what is rounded to 2^-149.
      expectClose(same(webgpu.values), same(cpu.values), { abs: 2e-6 * most + 2 ** -143 });
    }
  });

  const widths = [
    { bits: 2 },
    { bits: 3 },
    { bits: 8 },
    { bits: 3, bands: true },
    { bits: 4, bands: true, heads: 3 },
  ];

  test.each(widths)(
    'static, %o: codes of cpu, but for borders, and its values',
    async (options) => {
      let moved = 0;
      for (const x of Object.values(CLASSES)) {
        const spec = fitStatic(
          x.map((value) => 0.8 * value),
          44,
          options,
        );
        const [cpu, webgpu] = [await pack('cpu', x, spec), await pack('webgpu', x, spec)];
        for (const [i, value] of cpu.values.entries()) {
          const at = ((Math.floor(i / (64 * 44)) * 44) % spec.scales.length) + (i % 44);
          const [scale, zero] = [spec.scales[at]!, spec.zeros[at]!];
          const apart = Math.abs(webgpu.values[i]! - value);
          const isBorder = Math.abs(Math.abs(value - x[i]!) / scale - 0.5) < 1e-4;
          // The product and the sum round to f32; subnormal values may come back as 0.
          const rounding = 2 ** -22 * (Math.abs(value) + Math.abs(zero)) + 2 ** -126;
          if (isBorder && apart > scale / 2) moved++;
          else expect(apart).toBeLessThanOrEqual(rounding);
        }
        if (moved === 0) expect(webgpu.words).toEqual(cpu.words);
      }
      expect(moved).toBeLessThanOrEqual(2);
    },
  );

  test('static bands of no bits hold nothing and give the zero points', async () => {
    const spec: StaticSpec = {
      ...{ method: 'static', bands: [{ bits: 0, channels: 44 }] },
      ...{ scales: new Float32Array(44).fill(1), zeros: Float32Array.from(noise.slice(0, 44)) },
    };
    const { words, values } = await pack('webgpu', noise, spec);
    expect(words.length).toBe(0);
    expect(values.subarray(44, 88)).toEqual(spec.zeros);
  });

  test('where scales are static, NaN has code 0, an infinity the end; nothing is left behind', async () => {
    const x = noise.slice();
    const spec = fitStatic(x, 44, { bits: 4 });
    x.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    const { values } = await pack('webgpu', x, spec);
    const ends = [0, 15, 0].map((code, c) => code * spec.scales[c]! + spec.zeros[c]!);
    expectClose(values.slice(0, 3), ends, { rel: 1e-6 });
    const tensor = tf.tensor(x, SHAPE);
    await expectNoLeak(async () => {
      const packed = quantize(tensor, spec);
      const restored = dequantize(packed);
      await restored.data();
      packed.dispose();
      restored.dispose();
    });
  });

  test('a NaN or an infinity makes its group NaN, and no other', async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const x = noise.slice();
      x[3 * 44 + 20] = bad;
      for (const spec of [books[1]!, books[9]!, { method: 'int8', groupSize: 16 } as const]) {
        const { words, params, values } = await pack('webgpu', x, spec);
        const cpu = await pack('cpu', x, spec);
        const group = packedLayout('test', spec, SHAPE).groupSize;
        const hit = (i: number) =>
          Math.floor(i / 44) === 3 && Math.floor((i % 44) / group) === Math.floor(20 / group);
        expect([...values.keys()].filter((i) => Number.isNaN(values[i]))).toEqual(
          [...values.keys()].filter(hit),
        );
        const at = 3 * (params.length / 192) + Math.floor(20 / group);
        expect(params[at]).toBe(cpu.params[at]);
        expect(words).toEqual(cpu.words);
      }
    }
  });
});

function codesOf(words: Int32Array, { channels, bits, words: row }: PackedLayout): Uint8Array {
  const all = new Uint8Array((words.length / row) * channels);
  const codes = new Uint8Array(channels);
  for (let r = 0; r < words.length / row; r++) {
    unpackCodes(words, r * row, channels, bits, codes);
    all.set(codes, r * channels);
  }
  return all;
}

/** Value i, turned and of the mean square 1, in float64. */
function turnedAt(x: Float32Array, i: number, layout: PackedLayout): number {
  const { channels, groupSize, rotation } = layout;
  const place = (i % channels) % groupSize;
  const first = i - place;
  const count = Math.min(groupSize, channels - (first % channels));
  const group = Array.from(x.subarray(first, first + count));
  const rms = Math.sqrt(group.reduce((sum, value) => sum + value ** 2, 0) / count);
  if (rotation === 'none') return group[place]! / rms;
  let start = 0;
  for (const size of hadamardBlocks(count)) {
    if (place < start + size) {
      const row = rotationMatrix(size)[place - start]!;
      return row.reduce((sum, h, j) => sum + (h * group[start + j]!) / rms, 0);
    }
    start += size;
  }
  throw new Error('turnedAt: a place must lie within its group.');
}
