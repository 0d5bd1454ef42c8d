import { type QuantSpec, quantize, type StaticSpec } from '@mha2mla/kv-quant';
import { describeWebGpu, expectClose, gaussian, openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { runWgsl } from '../testing/run-wgsl';
import { placeWords } from '../webgpu/latent-place';
import { type LatentRoom, type LatentShape, latentLayout } from '../webgpu/latent-shape';
import { F32_FORM, type VectorForm, vectorForm } from '../webgpu/vector-form';
import { stepWords } from '../webgpu/wgsl-program';
import { appendLatent } from './append-latent';

const SHAPE: LatentShape = {
  caches: 'latents',
  heads: 4,
  keyHeads: 2,
  groups: 2,
  ropeDim: 4,
  nopeDim: 4,
  valueDim: 8,
  widths: [3, 5],
  latentForms: [F32_FORM, F32_FORM],
  keyForms: [F32_FORM, F32_FORM],
  biasApart: [false, false],
  tail: 'none',
};
const ROOM: LatentRoom = { capacities: [4, 6], tails: [0, 0] };

describeWebGpu('appendLatent', () => {
  test.each<[string, Partial<LatentShape>, number]>([
    ['the first slot', {}, 0],
    ['the last slot', {}, 5],
    ['no rope dims', { ropeDim: 0, nopeDim: 8 }, 2],
    ['a key without its bias', { biasApart: [false, true] }, 3],
    ['no latent', { widths: [0, 0] }, 2],
    ['beyond the room', {}, 6],
  ])('writes one token and nothing else: %s', async (_, change, slot) => {
    const { device } = await openWebGpu();
    const shape = { ...SHAPE, ...change };
    const { heads, keyHeads, groups, ropeDim, nopeDim, widths } = shape;
    const { capacities } = ROOM;
    const layout = latentLayout(shape, ROOM);
    const query = heads * (ropeDim + nopeDim);
    const projected = gaussian(query + keyHeads * ropeDim + groups * widths[1]!, 1);
    const angles = Float32Array.of(0.6, 0.28, 0, 1, 0.8, 0.96, 1, 0); // cos and sin of 4 pairs
    const pairs = Uint32Array.of(0, 1, 3, 2);
    const bias = shape.biasApart[1] ? [gaussian(keyHeads * ropeDim, 3)] : [];
    const before = gaussian(layout.size, 2);
    const expected = before.slice();
    if (slot < capacities[1]!) {
      const key = projected.slice(query);
      for (const [i, value] of bias.flatMap((own) => [...own.entries()])) key[i]! -= value;
      for (let k = 0; k < keyHeads && ropeDim > 0; k++) {
        for (let r = 0; r < 2; r++) {
          const pair = pairs[2 * k + r]!;
          const [c, s] = [angles[pair]!, angles[pair + 4]!];
          const [first, second] = [key[4 * k + r]!, key[4 * k + r + 2]!];
          const to = layout.keys[1]! + (k * capacities[1]! + slot) * ropeDim + r;
          expected[to] = first * c - second * s;
          expected[to + 2] = second * c + first * s;
        }
      }
      const latent = projected.subarray(query + keyHeads * ropeDim);
      for (const [i, value] of latent.entries()) {
        const g = Math.floor(i / widths[1]!);
        const row = g * capacities[1]! + slot;
        expected[layout.latents[1]! + row * widths[1]! + (i % widths[1]!)] = value;
      }
    }
    const step = stepWords({ slot, packed: slot });
    const inputs = [projected, ...(ropeDim > 0 ? [angles, pairs] : []), ...bias];
    const place = placeWords(shape, ROOM);
    const cache = await runWgsl(device, appendLatent(shape), before, inputs, { place, step });
    expectClose(cache, expected, { abs: 1e-6 }); // a product and a sum in f32
  });
});

/** Where codes of a token lie: in one word, and the odd end of the next; of one group each. */
const PACKED: LatentShape = { ...SHAPE, widths: [3, 37], groups: 1 };
const STATIC: StaticSpec = {
  method: 'static',
  bands: [
    { bits: 8, channels: 5 },
    { bits: 3, channels: 22 },
    { bits: 0, channels: 4 },
    { bits: 4, channels: 6 },
  ],
  scales: gaussian(37, 5).map((value) => Math.abs(value) + 0.01),
  zeros: gaussian(37, 6),
};
const SPECS: { spec: QuantSpec }[] = [
  ...([2, 3, 4, 8] as const).map((bits) => ({
    spec: { method: 'affine', bits, groupSize: 10 } as const,
  })),
  { spec: { method: 'half' } },
  { spec: { method: 'hqq', bits: 3, groupSize: 10 } },
  { spec: { method: 'int8' } },
  { spec: { method: 'int8', groupSize: 10 } },
  { spec: STATIC },
];

describeWebGpu('appendLatent into packed vectors', () => {
  test.each(SPECS)('gives the words of kv-quant: $spec', async ({ spec }) => {
    const { device } = await openWebGpu();
    const form = vectorForm(spec)!;
    const shape = { ...PACKED, latentForms: [F32_FORM, form], tail: 'window' as const };
    const room = { capacities: [4, 6], tails: [0, 8] };
    const layout = latentLayout(shape, room);
    const projected = new Float32Array(32 + 8 + 37);
    const [width, leaving] = [37, 4];
    for (const [row, values] of HARD_ROWS.entries()) {
      const before = new Float32Array(layout.size);
      before.set(values, layout.tailLatents[1]! + (leaving - 1) * width);
      const { scales = [], zeros = [] } = form.table ?? {};
      before.set([...scales, ...zeros], layout.latentTables[1]!);
      const step = stepWords({ slot: 7, packed: leaving, first: [0, 1] });
      const found = await runWgsl(
        device,
        appendLatent(shape),
        before,
        [projected, new Float32Array(8), Uint32Array.of(0, 1, 3, 2)],
        { place: placeWords(shape, room), step },
      );
      const words = new Int32Array(found.buffer);
      const x = tf.tensor2d(values, [1, width]);
      const packed = quantize(x, spec);
      const codes = await packed.codes.data();
      const params = (await packed.params?.data()) ?? [];
      const at = (start: number, count: number) => [
        ...words.subarray(start + leaving * count, start + (leaving + 1) * count),
      ];
      expect(at(layout.latents[1]!, codes.length), `row ${row}`).toEqual([...codes]);
      expect(at(layout.latentParams[1]!, params.length), `row ${row}`).toEqual([...params]);
      x.dispose();
      packed.dispose();
    }
  });
});

/** Rows of 37: of every size, on borders of codes, equal, subnormal, not finite. */
const HARD_ROWS = [
  ...[1e-30, 1e-6, 1, 3e4].map((size, i) => gaussian(37, i).map((value) => size * value)),
  Float32Array.from({ length: 37 }, (_, c) => c / 2),
  Float32Array.from({ length: 37 }, (_, c) => (c % 3) * 1e-42),
  new Float32Array(37).fill(-0.7),
  gaussian(37, 9).fill(Number.NaN, 4, 5).fill(Number.POSITIVE_INFINITY, 20, 21),
];

test('its key differs with the forms that the cache stores', () => {
  const half: VectorForm = { method: 'half', bits: 16, groupSize: 0 };
  const shapes: LatentShape[] = [
    SHAPE,
    { ...SHAPE, latentForms: [F32_FORM, half] },
    ...[STATIC, { ...STATIC, bands: [...STATIC.bands].reverse() }].map((spec) => ({
      ...SHAPE,
      latentForms: [F32_FORM, vectorForm(spec)!],
    })),
    { ...SHAPE, keyForms: [F32_FORM, half] },
    { ...SHAPE, biasApart: [false, true] },
    { ...SHAPE, caches: 'values' },
    { ...SHAPE, tail: 'kept' },
    { ...SHAPE, tail: 'window' },
  ];
  expect(new Set(shapes.map((shape) => appendLatent(shape).key)).size).toBe(shapes.length);
});
