import { describeWebGpu, expectClose, gaussian, openWebGpu } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { storeAffine } from '../packed/store-affine.reference';
import { takeOver } from '../packed/take-over';
import { runWgsl } from '../testing/run-wgsl';
import {
  type PackedForm,
  type PackedWeight,
  packWeight,
  type WeightFormat,
} from '../webgpu/weight-format';
import { unpackWeight } from '../webgpu/weight-format.reference';
import { lookupRow } from './lookup-row';
import { type MatVecShape, matVec } from './mat-vec';

type Case = MatVecShape & { name: string };

const CASES: Case[] = [
  { name: 'f32', inputs: 70, outputs: 9, format: 'f32' },
  { name: 'f16, an odd row', inputs: 71, outputs: 5, format: 'f16', bias: true },
  { name: 'int8, norm', inputs: 70, outputs: 6, format: 'int8', groupSize: 32, normEps: 1e-6 },
  { name: 'int4, residual', inputs: 69, outputs: 4, format: 'int4', groupSize: 16, residual: true },
  { name: 'gated, norm, int4', inputs: 40, outputs: 7, format: 'int4', gated: true, normEps: 1e-5 },
  {
    ...{ name: 'int4 with zero points, an odd row', inputs: 69, outputs: 5 },
    ...{ format: 'int4', groupSize: 16, zeroPoints: true, bias: true, residual: true },
  },
  {
    ...{ name: 'gated, norm, int8 with zero points', inputs: 40, outputs: 7 },
    ...{ format: 'int8', groupSize: 8, zeroPoints: true, gated: true, normEps: 1e-5 },
  },
  { name: 'gated, f32', inputs: 24, outputs: 32, format: 'f32', gated: true, normEps: 1e-6 },
  {
    name: 'all at once, f16',
    inputs: 24,
    outputs: 10,
    format: 'f16',
    bias: true,
    residual: true,
    normEps: 1e-6,
  },
  { name: 'one input and more than 65,535 workgroups', inputs: 1, outputs: 262_149, format: 'f32' },
];

/** The same in float64. */
function reference(shape: MatVecShape, parts: Record<string, Float32Array>): number[] {
  const { inputs, outputs, gated, normEps } = shape;
  const { x, gain, bias, residual } = parts;
  const squares = x!.reduce((sum, value) => sum + value * value, 0);
  const rms = normEps === undefined ? 1 : 1 / Math.sqrt(squares / inputs + normEps);
  const product = (weight: Float32Array, o: number) => {
    let sum = 0;
    for (let i = 0; i < inputs; i++) {
      sum += x![i]! * (normEps === undefined ? 1 : rms * gain![i]!) * weight[o * inputs + i]!;
    }
    return sum;
  };
  return Array.from({ length: outputs }, (_, o) => {
    const first = product(parts.weight!, o);
    const y = gated ? (first / (1 + Math.exp(-first))) * product(parts.weight2!, o) : first;
    return y + (shape.bias ? bias![o]! : 0) + (shape.residual ? residual![o]! : 0);
  });
}

/** A random weight in a form. */
function packRandom(
  shape: readonly [number, number],
  seed: number,
  { format, groupSize = 32, zeroPoints }: Partial<PackedForm> & Pick<PackedForm, 'format'>,
): PackedWeight {
  const values = gaussian(shape[0] * shape[1], seed);
  if (!zeroPoints) return packWeight(values, shape, format, groupSize);
  const packing = { format: format as 'int4', groupSize };
  return takeOver(storeAffine(values, shape, packing).rows, shape, packing);
}

describeWebGpu('matVec', () => {
  test.each(CASES)('equals float64: $name', async (shape) => {
    const { device } = await openWebGpu();
    const { inputs, outputs, gated, bias, residual, normEps } = shape;
    const random = (seed: number) => packRandom([outputs, inputs], seed, shape);
    const weights = gated ? [random(1), random(2)] : [random(1)];
    const x = gaussian(inputs, 3);
    const parts = {
      x,
      weight: unpackWeight(weights[0]!),
      weight2: unpackWeight(weights.at(-1)!),
      bias: gaussian(outputs, 4),
      residual: gaussian(outputs, 5),
      gain: gaussian(inputs, 6),
    };
    const buffers = [
      x,
      ...weights.flatMap(({ words, scales }) => (scales.length > 0 ? [words, scales] : [words])),
      ...(bias ? [parts.bias] : []),
      ...(residual ? [parts.residual] : []),
      ...(normEps === undefined ? [] : [parts.gain]),
    ];
    const y = await runWgsl(device, matVec(shape), new Float32Array(outputs), buffers);
    // Sums of up to 71 products of size 1, and for gated ones their product.
    expectClose(y, reference(shape, parts), { abs: 2e-5, rel: 1e-5 });
  });
});

describeWebGpu('parts of a weight', () => {
  test('a product writes to the place of its part', async () => {
    const { device } = await openWebGpu();
    const shape: MatVecShape = { inputs: 9, outputs: 4, first: 3, format: 'f32', bias: true };
    const [x, weight, bias] = [gaussian(9, 1), gaussian(4 * 9, 2), gaussian(7, 3)];
    const before = gaussian(7, 4);
    const y = await runWgsl(device, matVec(shape), before, [x, weight, bias]);
    const own = reference(shape, { x, weight, bias: bias.subarray(3) });
    expectClose(y, [...before.subarray(0, 3), ...own], { abs: 1e-5 }); // sums of 9
  });

  test('each row of a batch has its own x and residual', async () => {
    const { device } = await openWebGpu();
    const shape: MatVecShape = {
      ...{ inputs: 9, outputs: 4, first: 1, total: 6 },
      ...{ format: 'f32', bias: true, residual: true, normEps: 1e-6 },
    };
    const [x, weight, bias, residual, gain] = [27, 36, 6, 18, 9].map(gaussian);
    const inputs = [x!, weight!, bias!, residual!, gain!];
    const y = await runWgsl(device, matVec(shape), new Float32Array(18), inputs, { rows: 3 });
    const expected = [0, 1, 2].flatMap((row) => {
      const parts = { weight: weight!, bias: bias!.subarray(1), gain: gain! };
      const own = {
        x: x!.subarray(9 * row, 9 * (row + 1)),
        residual: residual!.subarray(6 * row + 1),
      };
      return [0, ...reference(shape, { ...parts, ...own }), 0];
    });
    expectClose(y, expected, { abs: 1e-5 }); // sums of 9
  });

  test.each<[WeightFormat, boolean]>([
    ['f32', false],
    ['f16', false],
    ['int8', false],
    ['int4', false],
    ['int4', true],
  ])('a row of %s is looked up in its part, with zero points: %s', async (format, zeroPoints) => {
    const { device } = await openWebGpu();
    const form = { format, groupSize: 8, zeroPoints };
    const packed = packRandom([5, 21], 1, form);
    const rows = unpackWeight(packed);
    const program = lookupRow({ ...form, width: 21, first: 10, outputs: 5 });
    const { words, scales } = packed;
    const tokens = [13, 9, 15, 2 ** 32 - 1, 10]; // the middle three elsewhere
    const bound = [Uint32Array.from(tokens), words, ...(scales.length > 0 ? [scales] : [])];
    const before = new Float32Array(5 * 21).fill(7);
    const found = await runWgsl(device, program, before, bound, { rows: 5 });
    expect(found.subarray(0, 21)).toEqual(rows.subarray(3 * 21, 4 * 21));
    expect(found.subarray(21, 4 * 21)).toEqual(before.subarray(21, 4 * 21));
    expect(found.subarray(4 * 21)).toEqual(rows.subarray(0, 21));
  });
});

test.each<[WeightFormat, number]>([
  ['f16', 2 ** -11],
  ['int8', 1 / 254],
  ['int4', 1 / 14],
])('%s weights are off by at most half a step', (format, step) => {
  const values = gaussian(4 * 64, 7);
  const found = unpackWeight(packWeight(values, [4, 64], format, 64));
  for (let row = 0; row < 4; row++) {
    const own = values.subarray(row * 64, (row + 1) * 64);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expectClose(found.subarray(row * 64, (row + 1) * 64), own, { abs: largest * step * 1.0001 });
  }
});

test('weights refuse what does not fit', () => {
  expect(() => packWeight(new Float32Array(5), [2, 3], 'f32')).toThrow('must hold 2 x 3, got 5');
  expect(() => packWeight(new Float32Array(6), [2, 3], 'int4', 12)).toThrow('got 12');
});

describe('the key of a program', () => {
  const base: MatVecShape = { inputs: 8, outputs: 4, format: 'f32' };
  test.each<Partial<MatVecShape>>([
    { inputs: 16 },
    { outputs: 8 },
    { first: 4 },
    { total: 8 },
    { format: 'f16' },
    { format: 'int8', groupSize: 8 },
    { format: 'int8', groupSize: 16 },
    { bias: true },
    { residual: true },
    { gated: true },
    { normEps: 1e-5 },
    { normEps: 1e-6 },
  ])('changes with %o', (change) => {
    const changes = [{}, { format: 'int8' as const, groupSize: 32 }, change];
    const keys = changes.map((own) => matVec({ ...base, ...own }).key);
    expect(new Set(keys).size).toBe(3);
  });
});
