import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { factorize } from './factorize';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { subspaceFactorize } from './subspace-factorize';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));
const squared = (a: Float64Array) => a.reduce((sum, value) => sum + value * value, 0);

/** F [d, columns] with S = F Fᵀ, and the excess over the optimum that the iterations leave. */
const INPUTS: Record<string, [(d: number, seed: number) => Float64Array, number]> = {
  random: [(d, seed) => random(d * d, seed), 1e-4],
  'power law': [(d, seed) => withSpectrum(d, seed, (i) => 1 / (i + 1)), 5e-6],
  'three huge outlier channels': [
    (d, seed) => random(d * d, seed).map((value, i) => value * (i < 3 * d ? 100 : 1)),
    1e-4,
  ],
  'condition 1e12': [(d, seed) => withSpectrum(d, seed, (i) => 10 ** ((-6 * i) / (d - 1))), 5e-6],
  'rank d / 4': [(d, seed) => random(d * Math.ceil(d / 4), seed), 1e-4],
};

function withSpectrum(d: number, seed: number, value: (i: number) => number): Float64Array {
  return la.qr(random(d * d, seed), d, d).q.map((entry, i) => entry * value(i % d));
}

function momentOf(factor: Float64Array, d: number): Float64Array {
  const columns = factor.length / d;
  return la.matmul(factor, transpose(factor, d, columns), d, columns, d);
}

/** |A F|². */
const energyOf = (a: Float64Array, factor: Float64Array, d: number) =>
  squared(la.matmul(a, factor, a.length / d, d, factor.length / d));

/** Of both routes: reported = measured, and the excess over the optimum by the SVD of W F. */
async function excess(name: string, dOut: number, d: number, rank: number, seed: number) {
  const [factorOf] = INPUTS[name]!;
  const factor = factorOf(d, seed);
  const weight = random(dOut * d, seed + 1);
  const columns = factor.length / d;
  const { s } = la.svd(la.matmul(weight, factor, dOut, d, columns), dOut, columns);
  const [optimum, total] = [squared(s.subarray(rank)), squared(s)];
  const input = { weight, dOut, dIn: d, moment: momentOf(factor, d), rank };
  const found = { exact: factorize(la, input), subspace: await subspaceFactorize(la, input) };
  return Object.fromEntries(
    Object.entries(found).map(([route, { up, down, error, energy }]) => {
      const product = la.matmul(up, down, dOut, rank, d);
      const residual = weight.map((value, i) => value - product[i]!);
      const measured = energyOf(residual, factor, d);
      // Exactly in float64; on the device in float32, of what was lost, not of the whole.
      const close = route === 'exact' ? 1e-9 : 1e-3;
      expectClose([error], [measured], { rel: close, abs: 1e-9 * total });
      expectClose([energy], [total], { rel: close });
      return [route, optimum > 1e-9 * total ? measured / optimum - 1 : 0];
    }),
  ) as { exact: number; subspace: number };
}

describeBackends('the subspace route', () => {
  test.each(Object.keys(INPUTS))('%s inputs: both routes reach the optimum', async (name) => {
    const shapes = fc.record({
      dOut: fc.integer({ min: 24, max: 96 }),
      d: fc.integer({ min: 24, max: 72 }),
      share: fc.double({ min: 0.05, max: 1, noNaN: true }),
      seed: fc.nat(1e6),
    });
    const property = fc.asyncProperty(shapes, async ({ dOut, d, share, seed }) => {
      const rank = Math.max(1, Math.floor((share * Math.min(dOut, d)) / 4));
      const found = await excess(name, dOut, d, rank, seed);
      expect(found.exact).toBeLessThan(1e-6);
      expect(found.subspace).toBeGreaterThan(-1e-6);
      expect(found.subspace).toBeLessThan(INPUTS[name]![1]);
    });
    await fc.assert(property, { numRuns: 8, seed: 1 });
  });

  test('with weights, a mean and no moment it is what the exact route finds', async () => {
    const [dOut, d, rank] = [32, 40, 8];
    const outputWeights = [16, 16].map((n, i) => momentOf(random(n * n, 30 + i), n));
    const weight = random(dOut * d, 1).map((value, i) => value * 0.7 ** (i % d));
    const input = { weight, dOut, dIn: d, outputWeights, mean: random(d, 2), rank };
    const [exact, found] = [factorize(la, input), await subspaceFactorize(la, input)];
    expectClose([found.error, found.energy], [exact.error, exact.energy], { rel: 1e-3 });
    const product = (f: typeof exact) => la.matmul(f.up, f.down, dOut, rank, d);
    expectClose(product(found), product(exact), { abs: 1e-2 });
    expectClose(found.offset!, exact.offset!, { abs: 2e-2 });
    expectClose(found.eigenvalues.subarray(0, rank), exact.eigenvalues.subarray(0, rank), {
      rel: 1e-4,
    });
  });

  test('the same seed gives the same factors, at any scale of the moment', async () => {
    const [dOut, d, rank] = [24, 32, 6];
    const weight = random(dOut * d, 3);
    const moment = momentOf(INPUTS['power law']![0](d, 4), d);
    const at = (scale: number) =>
      subspaceFactorize(la, {
        ...{ weight, dOut, dIn: d, rank },
        moment: moment.map((value) => value * scale),
      });
    const [first, again, small] = [await at(1), await at(1), await at(2 ** -100)];
    expect(again).toEqual(first);
    expect(small.relativeError).toBeCloseTo(first.relativeError, 6);
  });

  test('nothing to hold, and a weight of zeros', async () => {
    const input = { weight: random(24 * 32, 5), dOut: 24, dIn: 32 };
    const none = await subspaceFactorize(la, { ...input, rank: 0 });
    expectClose([none.error, none.retainedEnergy], [squared(input.weight), 0], { rel: 1e-5 });
    const zeros = await subspaceFactorize(la, { ...input, weight: new Float64Array(768), rank: 4 });
    expect([zeros.error, zeros.down.every((value) => value === 0)]).toEqual([0, true]);
  });

  test('leaves no tensors behind', async () => {
    const input = {
      weight: random(24 * 32, 6),
      dOut: 24,
      dIn: 32,
      moment: momentOf(random(32 * 32, 7), 32),
    };
    await expectNoLeak(async () => {
      await subspaceFactorize(la, { ...input, rank: 4 });
    });
  });
});

test('a rank above a quarter is refused', async () => {
  const input = { weight: random(24 * 32, 8), dOut: 24, dIn: 32, rank: 7 };
  await expect(subspaceFactorize(la, input)).rejects.toThrow(
    new RangeError(
      'subspaceFactorize: rank must be at most 6, a quarter of min(dOut=24, dIn=32), got 7. Wider latents take the exact route.',
    ),
  );
});
