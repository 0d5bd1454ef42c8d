import {
  describeBackends,
  describeWebGpu,
  expectClose,
  expectNoLeak,
  gaussian,
  openWebGpu,
} from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { type PackedShape, packedMatMulProgram } from '../kernels/packed-mat-mul';
import { packedRowsProgram } from '../kernels/packed-rows';
import { packWeight } from '../webgpu/weight-format';
import { unpackWeight } from '../webgpu/weight-format.reference';
import { deviceMatrix } from './device-matrix';
import { keptPacking } from './kept-packing';
import { loadMatrix } from './load-matrix';
import { type PackedMatrix, packedBytes, packedMatrix, type WeightPacking } from './packed-matrix';
import { storeAffine, storeWeights } from './store-affine.reference';
import { takeOver } from './take-over';

/** As weights are packed while they are loaded. */
const OWN: WeightPacking[] = [
  { format: 'f16', groupSize: 32 },
  { format: 'int8', groupSize: 8 },
  { format: 'int8', groupSize: 64 },
  { format: 'int4', groupSize: 32 },
  { format: 'int4', groupSize: 16 },
];
/** As checkpoints store them. */
const STORED: WeightPacking[] = [
  { format: 'int8', groupSize: 16, zeroPoints: true },
  { format: 'int4', groupSize: 8, zeroPoints: true },
];

interface Filled {
  matrix: PackedMatrix;
  /** What the words stand for, [outputs, inputs]. */
  values: Float32Array;
}

async function fill(matrix: PackedMatrix): Promise<Filled> {
  const { outputs, inputs, format, groupSize } = matrix;
  const shape: [number, number] = [outputs, inputs];
  const values = gaussian(outputs * inputs, 1);
  const packed = matrix.zeroPoints
    ? takeOver(storeAffine(values, shape, matrix).rows, shape, matrix)
    : packWeight(values, shape, format, groupSize);
  await matrix.write(0, packed);
  return { matrix, values: unpackWeight(packed) };
}

/** x Wᵀ in float64. */
function product(x: Float32Array, w: Float32Array, m: number, inputs: number, outputs: number) {
  return Array.from({ length: m * outputs }, (_, at) => {
    const [row, o] = [Math.floor(at / outputs), at % outputs];
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += x[row * inputs + i]! * w[o * inputs + i]!;
    return sum;
  });
}

async function expectProduct({ matrix, values }: Filled, m: number): Promise<void> {
  const { inputs, outputs } = matrix;
  const x = gaussian(m * inputs, 2);
  const y = matrix.multiply(tf.tensor2d(x, [m, inputs]));
  expect(y.shape).toEqual([m, outputs]);
  // f32 sums of up to 100 products of size 1.
  expectClose(await y.data(), product(x, values, m, inputs, outputs), { abs: 3e-5 });
  y.dispose();
}

describeBackends('a packed matrix', { webgpu: true }, () => {
  describe.each([...OWN, ...STORED])('of %o', (packing) => {
    test.each([
      [1, 71, 9],
      [3, 40, 33],
      [4, 64, 5],
      [5, 69, 37],
      [70, 100, 66],
    ])('multiplies %i rows as float64 does: %i inputs, %i outputs', async (m, inputs, outputs) => {
      const filled = await fill(packedMatrix({ ...packing, inputs, outputs }));
      await expectProduct(filled, m);
      filled.matrix.dispose();
    });

    test('gives rows in any order, to the bit', async () => {
      const { matrix, values } = await fill(packedMatrix({ ...packing, inputs: 43, outputs: 6 }));
      const ids = [5, 0, 3, 3];
      const rows = matrix.rows(Int32Array.from(ids));
      const expected = ids.flatMap((id) => [...values.subarray(43 * id, 43 * (id + 1))]);
      expect([...(await rows.data())]).toEqual(expected);
      matrix.dispose();
    });
  });

  describe.each(OWN)('packed as $format, $groupSize', (packing) => {
    test('is the same when loaded by blocks of rows, and as large as said', async () => {
      const values = gaussian(7 * 40, 3);
      const shape: [number, number] = [7, 40];
      const asked: number[][] = [];
      const reader = {
        shape: () => shape,
        read: async () => values,
        readRows: async (_: string, __: unknown, [first, end]: readonly [number, number]) => {
          asked.push([first, end]);
          return values.subarray(40 * first, 40 * end);
        },
      };
      const matrix = await loadMatrix(reader, 'w', shape, packing, 100);
      expect(asked).toEqual([
        [0, 2],
        [2, 4],
        [4, 6],
        [6, 7],
      ]);
      const { format, groupSize } = packing;
      const expected = unpackWeight(packWeight(values, shape, format, groupSize));
      const rows = matrix.rows(Int32Array.from({ length: 7 }, (_, i) => i));
      expect(await rows.data()).toEqual(expected);
      expect(matrix.sizeBytes).toBe(packedBytes(shape, packing));
      matrix.dispose();
    });
  });

  describe.each(STORED)('stored as $format, $groupSize', (packing) => {
    test('is taken over by blocks of rows: what is stored, to the bit', async () => {
      const shape: [number, number] = [7, 43];
      const weights = new Map([['w', { shape, values: gaussian(7 * 43, 3) }]]);
      const { reader, exact } = storeWeights(weights, packing);
      const asked: WeightPacking = { format: 'int8', groupSize: 32 }; // no fewer bits
      const matrix = await loadMatrix(reader, 'w', shape, asked, 100);
      const all = matrix.rows(Int32Array.from({ length: 7 }, (_, i) => i));
      expect(await all.data()).toEqual(exact.get('w')!.values);
      expect(matrix).toMatchObject(packing);
      expect(matrix.sizeBytes).toBe(packedBytes(shape, packing));
      matrix.dispose();
    });
  });

  test('leaves no tensors behind, and none of a load that fails', async () => {
    const packing: WeightPacking = { format: 'int4', groupSize: 32 };
    await expectNoLeak(async () => {
      const { matrix } = await fill(packedMatrix({ ...packing, inputs: 40, outputs: 6 }));
      const x = tf.ones<tf.Rank.R2>([2, 40]);
      tf.dispose([x, matrix.multiply(x), matrix.rows(Int32Array.of(1))]);
      matrix.dispose();
      matrix.dispose();
      const broken = { shape: () => [6, 40], read: () => Promise.reject(new Error('cut off')) };
      await expect(loadMatrix(broken, 'w', [6, 40], packing)).rejects.toThrow('cut off');
    });
  });
});

describeWebGpu('a packed matrix on webgpu', () => {
  test('is the same in parts that fit into smaller buffers', async () => {
    const { device } = await openWebGpu();
    const shape = { inputs: 40, outputs: 11, format: 'int4', groupSize: 32 } as const;
    const filled = await fill(deviceMatrix(device, shape, 4 * 5 * 3)); // 3 rows of 5 words
    const { matrix, values } = filled;
    expect((matrix as ReturnType<typeof deviceMatrix>).parts.length).toBe(4);
    await expectProduct(filled, 2);
    await expectProduct(filled, 20);
    const rows = matrix.rows(Int32Array.of(10, 2, 3));
    const row = (id: number) => [...values.subarray(40 * id, 40 * (id + 1))];
    expect([...(await rows.data())]).toEqual([10, 2, 3].flatMap(row));
    matrix.dispose();
  });

  test('of more than 65,535 workgroups', async () => {
    const shape = { inputs: 17, outputs: 262_149, format: 'int8', groupSize: 32 } as const;
    const filled = await fill(packedMatrix(shape));
    await expectProduct(filled, 1);
    const { matrix, values } = filled;
    const rows = matrix.rows(Int32Array.from({ length: shape.outputs }, (_, i) => i));
    expectClose(await rows.data(), values, { abs: 0 });
    matrix.dispose();
  }, 180_000);

  test('that is disposed does not harm what was computed with it', async () => {
    const { matrix, values } = await fill(
      packedMatrix({ inputs: 8, outputs: 3, format: 'f16', groupSize: 32 }),
    );
    const y = matrix.multiply(tf.ones([1, 8]));
    matrix.dispose();
    expectClose(await y.data(), product(new Float32Array(8).fill(1), values, 1, 8, 3), {
      abs: 1e-5, // sums of 8
    });
  });
});

describe('the keys of the programs', () => {
  const base: PackedShape = { format: 'int8', inputs: 64, groupSize: 32 };
  test.each<[Partial<PackedShape>]>([
    [{ format: 'int4' }],
    [{ inputs: 72 }],
    [{ groupSize: 16 }],
    [{ zeroPoints: true }],
  ])('change with %o', (change) => {
    for (const rows of [1, 2, 5]) {
      const keys = [base, { ...base, ...change }].map(
        (shape) => packedMatMulProgram(shape, rows, 4).shaderKey,
      );
      expect(keys[0]).not.toBe(keys[1]);
    }
    const keys = [base, { ...base, ...change }].map(
      (shape) => packedRowsProgram(shape, 4).shaderKey,
    );
    expect(keys[0]).not.toBe(keys[1]);
  });

  test('change with what a few rows are', () => {
    const keys = [1, 2, 4, 5, 33].map((rows) => packedMatMulProgram(base, rows, 4).shaderKey);
    expect(new Set(keys).size).toBe(3);
  });
});

describe('what a matrix is kept in', () => {
  const reader = (format: 'int8' | 'int4') => ({
    storedPacking: () => ({ format, groupSize: 128, zeroPoints: true }),
  });
  test.each([
    ['int4', 'int4', 128],
    ['int4', 'int8', 128],
    ['int8', 'int8', 128],
    ['int8', 'int4', 32],
    ['int4', 'f16', 32],
  ] as const)('%s is stored, %s asked for: groups of %i', (stored, format, groupSize) => {
    const kept = keptPacking(reader(stored), 'w', { format, groupSize: 32 });
    expect(kept.groupSize).toBe(groupSize);
    expect(kept.format).toBe(groupSize === 128 ? stored : format);
    expect(keptPacking({}, 'w', { format, groupSize: 32 })).toEqual({ format, groupSize: 32 });
  });

  test('scales that leave no room for a zero point are refused', () => {
    const packing: WeightPacking = { format: 'int4', groupSize: 8 };
    const { rows } = storeAffine(gaussian(8, 1), [1, 8], packing);
    rows.scales[0] = 0.1;
    expect(() => takeOver(rows, [1, 8], packing)).toThrow(/at most 16 significant bits, got 0\.1/);
  });
});
