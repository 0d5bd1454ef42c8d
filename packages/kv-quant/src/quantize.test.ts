import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { bytesPerToken } from './bytes-per-token';
import { dequantize } from './dequantize';
import { EVERY_SPEC, NAMED_SPECS } from './every-spec.reference';
import { packedLayout } from './packed-layout';
import type { QuantSpec } from './quant-spec';
import { quantize } from './quantize';

const SHAPES = [
  [3, 0, 40],
  [0, 5],
  [2, 5, 0],
  [1, 1],
  [1, 33],
  [2, 3, 10, 70],
];

describeBackends('quantize', () => {
  test.each(NAMED_SPECS)('%s: shapes are kept and take the bytes that were said', (_, spec) => {
    for (const shape of SHAPES) {
      const x = tf.zeros(shape);
      const packed = quantize(x, spec);
      const values = dequantize(packed);
      expect(values.shape).toEqual(shape);
      expect([...values.dataSync()].every((value) => value === 0)).toBe(true);
      const { codes, params } = packed;
      expect([codes.dtype, params?.dtype ?? 'int32']).toEqual(['int32', 'int32']);
      const allocated = codes.dataSync().length + (params?.dataSync().length ?? 0);
      expect(packed.sizeBytes).toBe(4 * allocated);
      const { axis, groupSize, tokens } = packedLayout('test', spec, shape);
      if (axis === 'channel' && tokens % groupSize !== 0) continue; // not whole groups
      const vectors = shape.slice(0, -1).reduce((product, size) => product * size, 1);
      expect(packed.sizeBytes).toBeCloseTo(vectors * bytesPerToken(spec, shape.at(-1)!), 8);
    }
  });

  test.each(NAMED_SPECS)('%s: a NaN or an infinity makes its group NaN', (_, spec) => {
    const { axis, groupSize } = packedLayout('test', spec, [10, 12]);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const x = gaussian(10 * 12, 5);
      x[3 * 12 + 7] = bad;
      const found = dequantize(quantize(tf.tensor2d(x, [10, 12]), spec)).dataSync();
      const grouped = (t: number, c: number) => {
        if (spec.method === 'half') return t === 3 && c === 7;
        if (axis === 'channel') return c === 7 && t < groupSize;
        return t === 3 && Math.floor(c / groupSize) === Math.floor(7 / groupSize);
      };
      for (let i = 0; i < x.length; i++) {
        const hit = grouped(Math.floor(i / 12), i % 12);
        expect(Number.isFinite(found[i])).toBe(!hit);
        if (spec.method === 'half' && hit) expect(found[i]).toBe(bad);
        else if (hit) expect(found[i]).toBeNaN();
      }
    }
  });

  test('a vector without an axis of tokens is packed alone', async () => {
    const x = gaussian(20, 1);
    for (const spec of EVERY_SPEC) {
      if ('axis' in spec && spec.axis === 'channel') continue;
      const vector = dequantize(quantize(tf.tensor1d(x), spec));
      const row = dequantize(quantize(tf.tensor2d(x, [1, 20]), spec));
      expect(vector.shape).toEqual([20]);
      expect(await vector.data()).toEqual(await row.data());
    }
  });

  test('leaves no tensors behind, inside a tidy neither', async () => {
    const x = tf.tensor2d(gaussian(5 * 40, 1), [5, 40]);
    await expectNoLeak(() => {
      for (const spec of EVERY_SPEC) {
        const packed = quantize(x, spec);
        const copy = packed.clone();
        packed.dispose();
        dequantize(copy).dispose(); // the clone outlives the original
        copy.dispose();
        tf.tidy(() => dequantize(quantize(x, spec))).dispose();
      }
    });
  });
});

describe('quantize', () => {
  const refuse = (spec: unknown, message: string, x: tf.Tensor = tf.zeros([2, 4])) =>
    expect(() => quantize(x, spec as QuantSpec)).toThrow(message);

  test('refuses a spec that no method has, with what is there', () => {
    refuse({ method: 'fp4' }, 'one of affine, hqq, lloyd-max, int8, half, static, got method=fp4');
    refuse({ method: 'toString' }, 'got method=toString');
    refuse({ method: 'affine', bits: 5 }, 'bits of affine must be one of 2, 3, 4, 8, got bits=5');
    refuse({ method: 'hqq' }, 'got bits=undefined');
    refuse({ method: 'lloyd-max', bits: 8 }, 'must be one of 2, 3, 4, got bits=8');
    refuse({ method: 'int8', bits: 4 }, 'bits of int8 must be one of 8, got bits=4');
    for (const groupSize of [0, -1, 1.5, Number.NaN]) {
      const expected = `groupSize must be a positive integer, got groupSize=${groupSize}`;
      refuse({ method: 'affine', bits: 8, groupSize }, expected);
    }
    refuse({ method: 'int8', axis: 'channel' }, "axis of int8 must be 'token', got axis=channel");
    refuse({ method: 'affine', bits: 8, axis: 1 }, "'token' or 'channel', got axis=1");
    refuse({ method: 'lloyd-max', bits: 2, rotation: 'qr' }, 'got rotation=qr of lloyd-max');
    refuse({ method: 'affine', bits: 2, rotation: 'none' }, 'only of lloyd-max');
  });

  test('refuses tensors without the axes it needs, or not float32', () => {
    const int32 = tf.zeros([2, 4], 'int32');
    expect(() => quantize(int32, { method: 'half' })).toThrow(TypeError);
    refuse({ method: 'half' }, 'must have an axis of channels, got a scalar', tf.scalar(1));
    refuse({ method: 'hqq', bits: 4, axis: 'channel' }, 'axis of tokens', tf.zeros([4]));
  });
});
