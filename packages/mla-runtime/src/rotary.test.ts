import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it, test } from 'vitest';
import { applyRotary, rotaryAngles, rotaryTable } from './rotary';

const OPTIONS = { headDim: 16, ropeTheta: 10_000 };

describe('rotaryAngles', () => {
  it('are position times theta^(-2 i / headDim)', () => {
    const { cos, sin } = rotaryAngles(Int32Array.of(0, 1, 7, 4000), 4, OPTIONS);
    const angles = [0, 1, 7, 4000].flatMap((position) =>
      Array.from({ length: 8 }, (_, i) => position * 10_000 ** (-i / 8)),
    );
    // An angle is rounded to f32: 2^-25 of 4000.
    expectClose(cos, angles.map(Math.cos), { abs: 3e-4 });
    expectClose(sin, angles.map(Math.sin), { abs: 3e-4 });
    expectClose(cos.subarray(0, 24), angles.slice(0, 24).map(Math.cos), { abs: 1e-6 });
  });

  it('take the position of the axis that a pair belongs to', () => {
    const [sections, positions] = [[1, 3, 4], Int32Array.of(2, 5, 30, 60, 7, 11)];
    const { cos } = rotaryAngles(positions, 2, { ...OPTIONS, mropeSection: sections });
    const axes = [0, 1, 1, 1, 2, 2, 2, 2];
    const expected = [0, 1].flatMap((token) =>
      axes.map((axis, i) => Math.cos(positions[2 * axis + token]! * 10_000 ** (-i / 8))),
    );
    expectClose(cos, expected, { abs: 3e-6 });
  });

  it('refuse another number of positions', () => {
    expect(() => rotaryAngles(new Int32Array(5), 4, OPTIONS)).toThrow(/1 x 4 positions, got 5/);
    const axes = { ...OPTIONS, mropeSection: [1, 3, 4] };
    expect(() => rotaryAngles(new Int32Array(4), 4, axes)).toThrow(/3 x 4 positions, got 4/);
  });
});

describeBackends('applyRotary', { webgpu: true }, () => {
  const [batch, length, heads] = [2, 3, 2];
  const positions = Int32Array.of(0, 1, 2, 9, 5, 4);

  test.each([
    ['all pairs', undefined],
    ['pairs of each head', [Int32Array.of(1, 4, 6), Int32Array.of(0, 2, 7)]],
    ['no pair', [Int32Array.of(), Int32Array.of()]],
  ])('multiplies complex numbers: %s', async (_, pairs) => {
    const count = pairs ? pairs[0]!.length : 8;
    const x = gaussian(batch * length * heads * 2 * count, 1);
    const table = rotaryTable(positions, [batch, length], OPTIONS);
    const input = tf.tensor4d(x, [batch, length, heads, 2 * count]);
    const turned = applyRotary(input, table, pairs);
    const expected = Float64Array.from(x);
    for (let vector = 0; vector < batch * length * heads; vector++) {
      const position = positions[Math.floor(vector / heads)]!;
      for (let i = 0; i < count; i++) {
        const pair = pairs?.[vector % heads]?.[i] ?? i;
        const angle = position * 10_000 ** (-pair / 8);
        const [re, im] = [vector * 2 * count + i, vector * 2 * count + count + i];
        expected[re] = x[re]! * Math.cos(angle) - x[im]! * Math.sin(angle);
        expected[im] = x[im]! * Math.cos(angle) + x[re]! * Math.sin(angle);
      }
    }
    expect(turned.shape).toEqual(input.shape);
    expectClose(await turned.data(), expected, { abs: 2e-6 }); // f32 angles up to 9
  });
});
