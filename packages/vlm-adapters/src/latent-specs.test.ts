import { openCheckpoint } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { LATENT_SCALES, latentBands, latentScales, readLatentSpecs } from './latent-specs';
import { type StoredTensor, tensorStore } from './testing/tensor-store';

const spec = (bits: (2 | 4)[], first: number) => ({
  method: 'static' as const,
  bands: bits.map((own) => ({ bits: own, channels: 2 })),
  scales: Float32Array.from({ length: 4 * bits.length }, (_, i) => first + i),
  zeros: Float32Array.from({ length: 4 * bits.length }, (_, i) => -first - i),
});
/** Two layers of two groups; of the second layer text alone. */
const SPECS = [{ vision: spec([4, 2], 1), text: spec([4], 20) }, { text: spec([2], 30) }];
const COUNTS = { numHiddenLayers: 2, groups: 2 };

async function read(bands: unknown, values?: Float32Array, name = LATENT_SCALES) {
  const tensors = new Map<string, StoredTensor>();
  if (values) tensors.set(name, { shape: [values.length], data: values });
  const checkpoint = await openCheckpoint(await tensorStore({}, tensors));
  return readLatentSpecs({ cache: { latent_bands: bands } }, checkpoint, COUNTS);
}

test('specs survive their way through config and checkpoint', async () => {
  const bands = JSON.parse(JSON.stringify(latentBands(SPECS)));
  expect(bands[1]).toEqual({ text: [[2, 2]] });
  expect(await read(bands, latentScales(SPECS))).toEqual(SPECS);
  expect(await read(undefined)).toBeUndefined();
});

test('what no conversion wrote is refused by name', async () => {
  const bands = latentBands(SPECS);
  const values = latentScales(SPECS);
  const changed = (at: number, value: number) => values.map((own, i) => (i === at ? value : own));
  const refuse = (given: unknown, message: RegExp, own = values, name?: string) =>
    expect(read(given, own, name)).rejects.toThrow(message);
  await refuse(4, /latent_bands must list 2 layers, got 4/);
  await refuse([bands[0]], /must list 2 layers, got 1/);
  await refuse([bands[0], 7], /latent_bands\[1\] must be a record of vision, text, all, got 7/);
  await refuse([bands[0], { audio: [] }], /must be a record of vision, text, all/);
  for (const own of [[], [[5, 2]], [[4, 0]], [[4, 2 ** 40]], [[4]], '4', { 0: [4, 2] }]) {
    await refuse([bands[0], { text: own }], /latent_bands\[1\]\.text must list \[bits, channels\]/);
  }
  await refuse(bands, /must hold the 32 scales and zero points .*, got \[31\]/, values.slice(1));
  await refuse(bands, /got none/, values, 'other');
  await refuse(bands, /must hold finite numbers, got NaN/, changed(3, Number.NaN));
  await refuse(bands, /scales of mha2mla\.latent_scales must be above 0/, changed(0, 0));
});
