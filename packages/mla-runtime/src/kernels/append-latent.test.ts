import { describeWebGpu, expectClose, gaussian, openWebGpu } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { runWgsl } from '../testing/run-wgsl';
import { type LatentShape, latentLayout } from '../webgpu/latent-shape';
import { STEP_WORDS } from '../webgpu/wgsl-program';
import { appendLatent } from './append-latent';

const SHAPE: LatentShape = {
  heads: 4,
  keyHeads: 2,
  groups: 2,
  ropeDim: 4,
  nopeDim: 4,
  valueDim: 8,
  widths: [3, 5],
  capacities: [4, 6],
};

describeWebGpu('appendLatent', () => {
  test.each<[string, Partial<LatentShape>, number]>([
    ['the first slot', {}, 0],
    ['the last slot', {}, 5],
    ['no rope dims', { ropeDim: 0, nopeDim: 8 }, 2],
    ['no latent', { widths: [0, 0] }, 2],
    ['beyond the room', {}, 6],
  ])('writes one token and nothing else: %s', async (_, change, slot) => {
    const { device } = await openWebGpu();
    const shape = { ...SHAPE, ...change };
    const { heads, keyHeads, groups, ropeDim, nopeDim, widths, capacities } = shape;
    const layout = latentLayout(shape);
    const query = heads * (ropeDim + nopeDim);
    const projected = gaussian(query + keyHeads * ropeDim + groups * widths[1]!, 1);
    const angles = Float32Array.of(0.6, 0.28, 0, 1, 0.8, 0.96, 1, 0); // cos and sin of 4 pairs
    const pairs = Uint32Array.of(0, 1, 3, 2);
    const before = gaussian(layout.size, 2);
    const expected = before.slice();
    if (slot < capacities[1]!) {
      const key = projected.subarray(query);
      for (let k = 0; k < keyHeads && ropeDim > 0; k++) {
        for (let r = 0; r < 2; r++) {
          const pair = pairs[2 * k + r]!;
          const [c, s] = [angles[pair]!, angles[pair + 4]!];
          const [first, second] = [key[4 * k + r]!, key[4 * k + r + 2]!];
          const to = layout.keys[1]! + (slot * keyHeads + k) * ropeDim + r;
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
    const step = new Uint32Array(STEP_WORDS);
    step[4] = slot;
    const inputs = ropeDim > 0 ? [projected, angles, pairs] : [projected];
    const cache = await runWgsl(device, appendLatent(shape), before, inputs, { step });
    expectClose(cache, expected, { abs: 1e-6 }); // a product and a sum in f32
  });
});

test('its key differs with the room of the cache', () => {
  const keys = [SHAPE, { ...SHAPE, capacities: [4, 7] }].map((shape) => appendLatent(shape).key);
  expect(keys[0]).not.toBe(keys[1]);
});
