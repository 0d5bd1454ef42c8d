import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { dequantize } from '../dequantize';
import { EVERY_SPEC } from '../every-spec.reference';
import { packedLayout } from '../packed-layout';
import { PackedTensor } from '../packed-tensor';
import { quantize } from '../quantize';
import { packHalfReference, unpackHalfReference } from './half.reference';
import { halfValues } from './half-float';
import { packAffineReference } from './pack-affine.reference';
import { unpackAffineReference } from './unpack-affine.reference';

const HALF = { method: 'half' } as const;

/** The words of codes by the definition: code c from bit c * bits on, the lowest bit first. */
function wordsByDefinition(codes: number[], bits: number): number[] {
  const all = codes.reduce((sum, code, c) => sum | (BigInt(code) << BigInt(c * bits)), 0n);
  return Array.from({ length: Math.ceil((codes.length * bits) / 32) }, (_, w) =>
    Number(BigInt.asIntN(32, all >> BigInt(32 * w))),
  );
}

describeBackends('the packed form', () => {
  test.each([2, 3, 4, 8] as const)('%d-bit codes follow each other bit by bit', async (bits) => {
    const codes = Array.from({ length: 45 }, (_, c) => (5 * c + 2) % 2 ** bits);
    codes[0] = 0;
    codes[44] = 2 ** bits - 1; // so that the scale is 1
    const x = codes.map((code) => code - 1);
    const spec = { method: 'affine', bits, groupSize: 45 } as const;
    const packed = quantize(tf.tensor2d(x, [1, 45]), spec);
    expect([...(await packed.codes.data())]).toEqual(wordsByDefinition(codes, bits));
    // Scale 1 and zero point -1.
    expect([...(await packed.params!.data())]).toEqual([0xbc003c00 | 0]);
    expectClose(await dequantize(packed).data(), x, {});
  });

  test('groups of tokens keep the rows of codes; params are a row of channels a group', async () => {
    const x = tf.tensor2d([0, 0, 1, 30, 3, 10, 0, 4], [4, 2]); // the last group has one token
    const spec = { method: 'affine', bits: 2, groupSize: 3, axis: 'channel' } as const;
    const packed = quantize(x, spec);
    expect([...(await packed.codes.data())]).toEqual([0b0000, 0b1101, 0b0111, 0b0000]);
    // Scales 1, 10, 0, 0 and zero points 0, 0, 0, 4.
    const params = [0x3c00, 0x4900, 0, 0x44000000];
    expect([...(await packed.params!.data())]).toEqual(params);
    expectClose(await dequantize(packed).data(), await x.data(), {});
  });

  test('puts the first half lowest and fills the last word with zeros', async () => {
    const packed = quantize(tf.tensor2d([1, -2, 0.5], [1, 3]), HALF);
    expect([...(await packed.codes.data())]).toEqual([0xc0003c00 | 0, 0x3800]);
    expect(packed.params).toBeUndefined();
  });

  test('int8 is two’s complement beside the float32 bits of its scale', async () => {
    const packed = quantize(tf.tensor2d([-254, 2, 4, 254, -2], [1, 5]), { method: 'int8' });
    expect([...(await packed.codes.data())]).toEqual([0x7f020181, 0xff]);
    expect([...(await packed.params!.data())]).toEqual([0x40000000]); // 2
  });

  test('all 65,536 halves come back to the bit', async () => {
    const words = Int32Array.from({ length: 32768 }, (_, i) => (2 * i) | ((2 * i + 1) << 16));
    const stored = new PackedTensor([1, 65536], HALF, tf.tensor2d(words, [1, 32768], 'int32'));
    const values = dequantize(stored);
    expectClose(await values.data(), halfValues(), {});
    expect(await quantize(values, HALF).codes.data()).toEqual(words);
  });

  test('16 bits are the nearest half, and saturate', async () => {
    const restored = (x: tf.Tensor) => dequantize(quantize(x, HALF)).data();
    const x = gaussian(4 * 33, 3);
    expectClose(await restored(tf.tensor2d(x, [4, 33])), x, { rel: 2 ** -11, abs: 2 ** -25 });
    expectClose(await restored(tf.tensor1d([1e6, -1e6, 65519])), [65504, -65504, 65504], {});
    expect(Object.is((await restored(tf.tensor1d([-0])))[0], -0)).toBe(true);
  });

  test('tensors that were cast from int32 or computed are read as float32', async () => {
    const x = tf.cast(tf.tensor2d([0, 1, 2, 255], [1, 4], 'int32'), 'float32');
    const spec = { method: 'affine', bits: 8 } as const;
    const computed = quantize(tf.add(x, 0), spec);
    const cast = quantize(x, spec);
    expect(await cast.codes.data()).toEqual(await computed.codes.data());
    expectClose(await dequantize(cast).data(), [0, 1, 2, 255], {});
    expectClose(await dequantize(quantize(x, HALF)).data(), [0, 1, 2, 255], {});
  });
});

test('wasm and cpu hold the same words of every method', async () => {
  const values = gaussian(7 * 70, 3);
  const words: unknown[][] = [[], []];
  for (const [i, backend] of ['wasm', 'cpu'].entries()) {
    await tf.setBackend(backend);
    for (const spec of EVERY_SPEC) {
      const { codes, params } = quantize(tf.tensor2d(values, [7, 70]), spec);
      words[i]!.push(await codes.data(), await params?.data());
    }
  }
  expect(words[0]).toEqual(words[1]);
});

/** Shapes with whole and broken groups and words, and values of every size that f32 has. */
const cases = fc
  .record({
    bits: fc.constantFrom<(2 | 3 | 4 | 8 | 16)[]>(2, 3, 4, 8, 16),
    groupSize: fc.integer({ min: 1, max: 20 }),
    axis: fc.constantFrom<('token' | 'channel')[]>('token', 'channel'),
    channels: fc.integer({ min: 0, max: 41 }),
    tokens: fc.integer({ min: 0, max: 7 }),
    spread: fc.constantFrom(1e-9, 1e-4, 1, 300, 7e4, 1e30),
    offset: fc.constantFrom(0, 1, -1000, 5e4),
    seed: fc.nat(),
  })
  .map(({ bits, channels, tokens, spread, offset, seed, ...options }) => {
    const noise = gaussian(2 * tokens * channels, seed);
    const values = noise.map((value, i) => (i % 7 === 0 ? offset : offset + spread * value));
    const specials = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    if (seed % 3 === 0 && values.length > 0)
      values[seed % values.length] = specials[(seed / 3) % 3]!;
    const spec = bits === 16 ? HALF : { method: 'affine' as const, bits, ...options };
    return { spec, shape: [2, tokens, channels], values };
  });

describe('the composed twins of affine and half [cpu]', () => {
  beforeAll(() => tf.setBackend('cpu'));

  test('have the words and the values of the kernels to the bit', () => {
    fc.assert(
      fc.property(cases, ({ spec, shape, values }) => {
        const x = tf.tensor(values, shape);
        const layout = packedLayout('test', spec, shape);
        const packed = quantize(x, spec);
        const isHalf = spec.method === 'half';
        const [codes, params] = isHalf
          ? [packHalfReference(x, layout)]
          : packAffineReference(x, layout);
        expect(codes!.shape).toEqual(packed.codes.shape);
        expect(codes!.dataSync()).toEqual(packed.codes.dataSync());
        expect(params?.shape).toEqual(packed.params?.shape);
        expect(params?.dataSync()).toEqual(packed.params?.dataSync());
        const found = isHalf
          ? unpackHalfReference(packed.codes, layout)
          : unpackAffineReference(packed, layout);
        expect(found.shape).toEqual(shape);
        expectClose(found.dataSync(), dequantize(packed).dataSync(), {});
      }),
      { numRuns: 300 },
    );
  });

  test('decode all 65,536 halves', async () => {
    const words = Int32Array.from({ length: 32768 }, (_, i) => (2 * i) | ((2 * i + 1) << 16));
    const codes = tf.tensor2d(words, [1, 32768], 'int32');
    const found = unpackHalfReference(codes, packedLayout('test', HALF, [1, 65536]));
    expectClose(await found.data(), halfValues(), {});
  });
});
