/** On webgpu the words and values are those of cpu, to the bit. */
import { describeWebGpu, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { concatPacked } from '../concat-packed';
import { dequantize } from '../dequantize';
import { EVERY_SPEC } from '../every-spec.reference';
import { halfValues } from '../kernels/half-float';
import { PackedTensor } from '../packed-tensor';
import type { QuantSpec } from '../quant-spec';
import { quantize } from '../quantize';
import { QuantizedCache } from '../quantized-cache';
import { slicePacked } from '../slice-packed';
import { hardValues } from '../testing/hard-values';

const HALF = { method: 'half' } as const;

/** The bits of what a tensor holds, as NaN equals no NaN. */
const bitsOf = async (tensor: tf.Tensor | undefined) =>
  tensor && new Int32Array((await tensor.data()).slice().buffer);

async function pack(values: Float32Array, shape: number[], spec: QuantSpec) {
  const packed = quantize(tf.tensor(values, shape), spec);
  const [codes, params] = [await bitsOf(packed.codes), await bitsOf(packed.params)];
  return { codes, params, values: await bitsOf(dequantize(packed)) };
}

const SHAPES: [number[], number][] = [
  [[1, 30, 40], 40],
  [[25, 41], 20],
  [[100, 7], 3],
  [[600, 1], 1],
  [[2, 2, 3, 64], 32],
];

describeWebGpu('kernels of webgpu', () => {
  const specs = ([2, 3, 4, 8] as const).flatMap((bits) =>
    (['token', 'channel'] as const).map((axis) => ({ method: 'affine' as const, bits, axis })),
  );

  test.each<QuantSpec>([...specs, HALF])('%o: words and values of cpu', async (method) => {
    for (const [index, [shape, groupSize]] of SHAPES.entries()) {
      const spec = { ...method, groupSize } as QuantSpec;
      const values = hardValues(tf.util.sizeFromShape(shape), index);
      await tf.setBackend('cpu');
      const expected = await pack(values, shape, spec);
      await tf.setBackend('webgpu');
      expect(await pack(values, shape, spec)).toEqual(expected);
    }
  });

  test('ties of codes go to the even one', async () => {
    // Scale 1 and zero point 0 of 4 bits; a quotient may round to a half of it.
    const middles = Array.from({ length: 14 }, (_, k) => [k + 0.5, k + 0.49999997, k + 0.5000001]);
    const values = Float32Array.from([0, 15, ...middles.flat()]);
    await tf.setBackend('cpu');
    const spec = { method: 'affine', bits: 4, groupSize: values.length } as const;
    const expected = await pack(values, [1, values.length], spec);
    await tf.setBackend('webgpu');
    expect(await pack(values, [1, values.length], spec)).toEqual(expected);
  });

  test('all 65,536 halves come back to the bit', async () => {
    const words = Int32Array.from({ length: 32768 }, (_, i) => (2 * i) | ((2 * i + 1) << 16));
    const stored = new PackedTensor([1, 65536], HALF, tf.tensor2d(words, [1, 32768], 'int32'));
    const values = dequantize(stored);
    expect(await bitsOf(values)).toEqual(new Int32Array(halfValues().buffer));
    const again = quantize(values, HALF);
    expect(await again.codes.data()).toEqual(words);
  });

  test('words are joined along any axis, bit by bit, and with nothing', async () => {
    for (const [axis, sizes] of [
      [0, [2, 3]],
      [1, [1, 4]],
      [1, [0, 2]],
      [1, [2, 0]],
    ] as const) {
      const parts = sizes.map((size, i) => {
        const shape = axis === 0 ? [size, 2, 40] : [2, size, 40];
        return { shape, values: hardValues(tf.util.sizeFromShape(shape), i) };
      });
      const join = async (backend: string) => {
        await tf.setBackend(backend);
        const [a, b] = parts.map(({ values, shape }) =>
          quantize(tf.tensor(values, shape), { method: 'affine', bits: 8 }),
        );
        const joined = concatPacked(a!, b!, axis);
        const end = slicePacked(joined, 1, joined.shape[1]!);
        const tensors = [joined.codes, joined.params, end.codes, end.params];
        return [joined.shape, end.shape, await Promise.all(tensors.map(bitsOf))];
      };
      const expected = await join('cpu');
      expect(await join('webgpu')).toEqual(expected);
    }
  });

  test('nothing is packed to nothing', async () => {
    for (const shape of [
      [3, 0],
      [0, 5],
    ]) {
      for (const spec of EVERY_SPEC) {
        const packed = quantize(tf.zeros(shape), spec);
        expect(packed.sizeBytes).toBe(0);
        expect(dequantize(packed).shape).toEqual(shape);
      }
    }
  });

  test('leaves no tensors behind', async () => {
    const methods = EVERY_SPEC.map(({ method }) => method);
    const oneOfEach = EVERY_SPEC.filter(({ method }, i) => methods.indexOf(method) === i);
    const x = tf.tensor2d(gaussian(80, 1), [2, 40]);
    await expectNoLeak(async () => {
      for (const spec of oneOfEach) {
        const packed = quantize(x, spec);
        const joined = slicePacked(packed, 0, 1);
        const values = dequantize(joined);
        await values.data();
        for (const part of [packed, joined, values]) part.dispose();
      }
    });
  });

  test('a cache holds, rewinds and forks what one of cpu does', async () => {
    const x = hardValues(2 * 30 * 40, 2);
    const specs: (QuantSpec | undefined)[] = [
      undefined,
      HALF,
      { method: 'affine', bits: 3, groupSize: 8 },
      { method: 'affine', bits: 4, axis: 'channel', groupSize: 4 },
      { method: 'hqq', bits: 2, axis: 'channel', groupSize: 4 },
      { method: 'int8', groupSize: 16 },
    ];
    const held = async (backend: string, spec: QuantSpec | undefined) => {
      await tf.setBackend(backend);
      const cache = new QuantizedCache({ spec, residualLength: 3, blockLength: 8 });
      const parts = tf.split(tf.tensor3d(x, [2, 30, 40]), [17, 1, 12], 1);
      cache.append(parts[0]!);
      const fork = cache.fork();
      fork.rewind(9);
      for (const part of parts.slice(1)) for (const own of [cache, fork]) own.append(part);
      const values = [...cache.read(), ...fork.read()];
      return Promise.all(values.map(bitsOf));
    };
    for (const spec of specs) expect(await held('webgpu', spec)).toEqual(await held('cpu', spec));
  });
});
