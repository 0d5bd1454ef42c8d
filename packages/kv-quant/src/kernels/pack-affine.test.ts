import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { dequantizeAffine } from '../dequantize-affine';
import { type PackedBits, packedLayout } from '../packed-layout';
import { PackedTensor } from '../packed-tensor';
import { quantizeAffine } from '../quantize-affine';
import { halfValues } from './half-float';
import { packAffineReference } from './pack-affine.reference';
import { unpackAffineReference } from './unpack-affine.reference';

/** One group with scale 1 and zero point -1 (halves 0x3c00 and 0xbc00), and its codes. */
const LEVELS = { 4: 15, 8: 255 };

describeBackends('the packed form', () => {
  test.each([
    [4, [0x43210, 0xf0000000 | 0]],
    [8, [0x03020100, 0x00000004, 0x00000000, 0xff000000 | 0]],
  ] as const)(
    'puts the first of %d-bit codes lowest, 16 channels a group',
    async (bits, expected) => {
      const x = new Float32Array(16).fill(-1);
      for (let c = 0; c < 5; c++) x[c] = c - 1;
      x[15] = LEVELS[bits] - 1;
      const packed = quantizeAffine(tf.tensor2d(x, [1, 16]), { bits, groupSize: 16 });
      expect([...(await packed.codes.data())]).toEqual(expected);
      expect([...(await packed.params!.data())]).toEqual([0xbc003c00 | 0]);
    },
  );

  test('puts the first half lowest and fills the last word with zeros', async () => {
    const packed = quantizeAffine(tf.tensor2d([1, -2, 0.5], [1, 3]), { bits: 16, groupSize: 32 });
    expect([...(await packed.codes.data())]).toEqual([0xc0003c00 | 0, 0x3800]);
    expect(packed.params).toBeUndefined();
  });

  test('all 65,536 halves come back to the bit', async () => {
    const words = Int32Array.from({ length: 32768 }, (_, i) => (2 * i) | ((2 * i + 1) << 16));
    const layout = { bits: 16, groupSize: 1 } as const;
    const stored = new PackedTensor([1, 65536], layout, tf.tensor2d(words, [1, 32768], 'int32'));
    const values = dequantizeAffine(stored);
    expectClose(await values.data(), halfValues(), {});
    const again = quantizeAffine(values, layout);
    expect(await again.codes.data()).toEqual(words);
  });

  test('tensors that were cast from int32 or computed are read as float32', async () => {
    const x = tf.cast(tf.tensor2d([0, 1, 2, 255], [1, 4], 'int32'), 'float32');
    const packed = quantizeAffine(tf.add(x, 0), { bits: 8, groupSize: 4 });
    const cast = quantizeAffine(x, { bits: 8, groupSize: 4 });
    expect(await cast.codes.data()).toEqual(await packed.codes.data());
    expectClose(await dequantizeAffine(cast).data(), [0, 1, 2, 255], {});
    const halves = quantizeAffine(x, { bits: 16, groupSize: 4 });
    expectClose(await dequantizeAffine(halves).data(), [0, 1, 2, 255], {});
  });
});

test.each([4, 8, 16] as const)('wasm and cpu hold the same %d-bit words', async (bits) => {
  const values = gaussian(7 * 70, bits);
  const words: unknown[] = [];
  for (const backend of ['wasm', 'cpu']) {
    await tf.setBackend(backend);
    const { codes, params } = quantizeAffine(tf.tensor2d(values, [7, 70]), { bits, groupSize: 32 });
    words.push([await codes.data(), await params?.data()]);
  }
  expect(words[0]).toEqual(words[1]);
});

/** Shapes with whole and broken groups and words, and values of every size that f32 has. */
const cases = fc
  .record({
    bits: fc.constantFrom<PackedBits[]>(4, 8, 16),
    groupSize: fc.integer({ min: 1, max: 20 }),
    channels: fc.integer({ min: 0, max: 41 }),
    tokens: fc.integer({ min: 0, max: 3 }),
    spread: fc.constantFrom(1e-9, 1e-4, 1, 300, 7e4, 1e30),
    offset: fc.constantFrom(0, 1, -1000, 5e4),
    seed: fc.nat(),
  })
  .map(({ channels, tokens, spread, offset, seed, ...options }) => {
    const noise = gaussian(tokens * channels, seed);
    const values = noise.map((value, i) => (i % 7 === 0 ? offset : offset + spread * value));
    const specials = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    if (seed % 3 === 0 && values.length > 0) values[seed % values.length] = specials[seed % 9]!;
    return { options, shape: [1, tokens, channels], values };
  });

describe('the composed twin [cpu]', () => {
  beforeAll(() => tf.setBackend('cpu'));

  test('has the words and the values of the kernel to the bit', () => {
    fc.assert(
      fc.property(cases, ({ options, shape, values }) => {
        const x = tf.tensor(values, shape);
        const layout = packedLayout('test', { ...options, channels: shape[2]! });
        const packed = quantizeAffine(x, options);
        const [codes, params] = packAffineReference(x, layout);
        expect(codes!.shape).toEqual(packed.codes.shape);
        expect(codes!.dataSync()).toEqual(packed.codes.dataSync());
        expect(params?.dataSync()).toEqual(packed.params?.dataSync());
        const found = unpackAffineReference(packed.codes, packed.params, layout);
        expect(found.shape).toEqual(shape);
        expectClose(found.dataSync(), dequantizeAffine(packed).dataSync(), {});
      }),
      { numRuns: 300 },
    );
  });

  test('decodes all 65,536 halves, as codes and as params', async () => {
    const words = Int32Array.from({ length: 32768 }, (_, i) => (2 * i) | ((2 * i + 1) << 16));
    const layout = packedLayout('test', { bits: 16, groupSize: 1, channels: 65536 });
    const codes = tf.tensor2d(words, [1, 32768], 'int32');
    const found = unpackAffineReference(codes, undefined, layout);
    expectClose(await found.data(), halfValues(), {});
  });
});
