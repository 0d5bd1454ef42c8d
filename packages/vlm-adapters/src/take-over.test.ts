/** Matrices as AutoGPTQ and AutoAWQ store them (fixtures/packed), kept in the integers they are. */
import { readFileSync } from 'node:fs';
import {
  type Checkpoint,
  decodeFloat32,
  encodeTensor,
  memorySource,
  openSafetensors,
  unpackedCheckpoint,
} from '@mha2mla/checkpoint';
import { loadingReader, loadProjection, type WeightFormat } from '@mha2mla/mla-runtime';
import {
  describeBackends,
  expectClose,
  fixture,
  gaussian,
  readSafetensors,
} from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { CheckpointWeights } from './checkpoint-weights';
import { storedPacking } from './stored-packing';

const GOLDEN = fixture('fixtures/packed/golden.safetensors');
const golden = readSafetensors(GOLDEN);
const [OUTPUTS, INPUTS] = [32, 64];
const GPTQ = { quant_method: 'gptq', bits: 4, group_size: 32 };
const AWQ = { quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm' };

/** The matrix of a case without its floats. */
async function openCase(name: string, config: object): Promise<CheckpointWeights> {
  const file = await openSafetensors(memorySource(readFileSync(GOLDEN), 'golden.safetensors'));
  const own = [...file.tensors].filter(([key]) => key.startsWith(`${name}.`));
  const tensors = new Map(own.filter(([key]) => !key.endsWith('.weight')));
  const checkpoint = unpackedCheckpoint({ ...file, tensors }, { ...config });
  return new CheckpointWeights(checkpoint, (stored) => [stored], 'golden');
}

/** Its values once loaded, and the product with a few rows. */
async function load(name: string, config: object, weights: WeightFormat) {
  const reader = loadingReader(await openCase(name, config), { weights });
  const projection = await loadProjection(reader, name, [INPUTS, OUTPUTS]);
  const weight = tf.transpose(projection.weight());
  const values = (await weight.data()) as Float32Array;
  const x = gaussian(3 * INPUTS, 1);
  const y = projection.apply(tf.tensor2d(x, [3, INPUTS]));
  const product = await y.data();
  tf.dispose([weight, y]);
  projection.dispose();
  return { values, x, product };
}

const asHalves = (values: Float32Array) => decodeFloat32(encodeTensor(values, 'F16'), 'F16');

describeBackends('a stored matrix', { webgpu: true }, () => {
  test.each<[string, object, WeightFormat]>([
    ['awq', AWQ, 'int4'],
    ['awq', AWQ, 'int8'],
    ['gptq4', GPTQ, 'int4'],
    ['gptq8', { ...GPTQ, bits: 8 }, 'int8'],
    // The nearest halves are what the libraries compute with.
    ['awq', AWQ, 'f16'],
    ['listed', { ...GPTQ, desc_act: true }, 'f16'],
  ])('of %s %o as %s is that of the libraries, to the bit', async (name, config, weights) => {
    const { values, x, product } = await load(name, config, weights);
    // They round products to halves; ours are exact.
    expect(asHalves(values)).toEqual(golden.get(`${name}.weight`)!.data);
    const expected = Array.from({ length: 3 * OUTPUTS }, (_, at) => {
      const [row, output] = [Math.floor(at / OUTPUTS), at % OUTPUTS];
      let sum = 0;
      for (let i = 0; i < INPUTS; i++) sum += x[row * INPUTS + i]! * values[output * INPUTS + i]!;
      return sum;
    });
    expectClose(product, expected, { abs: 1e-5 }); // f32 sums of 64
  });

  test.each<[string, object, WeightFormat, number]>([
    ['gptq8', { ...GPTQ, bits: 8 }, 'int4', 1 / 14],
    ['listed', { ...GPTQ, desc_act: true }, 'int4', 1 / 14],
    ['gptq2', { ...GPTQ, bits: 2 }, 'int8', 1 / 254],
  ])('of %s %o as %s is packed anew', async (name, config, weights, step) => {
    const { values } = await load(name, config, weights);
    const expected = golden.get(`${name}.weight`)!.data as Float32Array;
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expectClose(values, expected, { abs: largest * step * 1.0001 }); // half a step
    expect(asHalves(values)).not.toEqual(expected);
  });
});

test.each([
  [{ bits: 4, inputs: 256, groupSize: 128, dtype: 'BF16' }, 'int4', 128],
  [{ bits: 8, inputs: 20, groupSize: 20, dtype: 'F16' }, 'int8', 24],
  [{ bits: 2, inputs: 64, groupSize: 32, dtype: 'F16' }, undefined, undefined],
  [{ bits: 4, inputs: 64, groupSize: 4, dtype: 'F16' }, undefined, undefined],
  [{ bits: 4, inputs: 64, groupSize: 32, dtype: 'F32' }, undefined, undefined],
] as const)('%o is taken over as %s of %s', (form, format, groupSize) => {
  const packing = format && { format, groupSize, zeroPoints: true };
  expect(storedPacking(form)).toEqual(packing);
});

test('scales that are not finite, or would overflow, are refused', async () => {
  const tensors = new Map([['w', { shape: [1, 8] }]]);
  for (const scale of [Number.NaN, Number.POSITIVE_INFINITY, 1e38]) {
    const rows = {
      words: Uint32Array.of(0),
      zeros: Uint8Array.of(0),
      scales: Float32Array.of(scale),
    };
    const packed = { readRows: async () => rows };
    const checkpoint = { tensors, packed } as unknown as Checkpoint;
    const weights = new CheckpointWeights(checkpoint, (stored) => [stored], 'golden');
    await expect(weights.readStored('w', [1, 8], [0, 1])).rejects.toThrow(
      /scales of rows 0 to 1 of "w", times 255, must hold finite numbers/,
    );
  }
});
