import { expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { factorize } from './factorize';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const D = 40;
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));
const squared = (a: Float64Array) => a.reduce((sum, value) => sum + value * value, 0);
const minus = (a: Float64Array, b: Float64Array) => a.map((value, i) => value - b[i]!);

/** F [D, columns] with S = F Fᵀ, of the shapes that hidden states are known to take. */
const FACTORS: Record<string, () => Float64Array> = {
  random: () => random(D * D, 1),
  'power law': () => withSpectrum((i) => 1 / (i + 1)),
  'three huge outlier channels': () =>
    random(D * D, 2).map((value, i) => value * (i < 3 * D ? 300 : 1)),
  'condition 1e12': () => withSpectrum((i) => 10 ** ((-6 * i) / (D - 1))),
  'rank D / 4': () => random((D * D) / 4, 3),
};

/** Orthonormal columns times singular values. */
function withSpectrum(singularValue: (index: number) => number): Float64Array {
  return la.qr(random(D * D, 4), D, D).q.map((value, i) => value * singularValue(i % D));
}

/** A moment, and the energy |A F|² of any map A [rows, D] on inputs of that moment. */
function inputs(name: string) {
  const factor = FACTORS[name]!();
  const columns = factor.length / D;
  const times = (a: Float64Array) => la.matmul(a, factor, a.length / D, D, columns);
  return {
    moment: la.matmul(factor, transpose(factor, D, columns), D, columns, D),
    energy: (a: Float64Array) => squared(times(a)),
    singularValues: (a: Float64Array) => la.svd(times(a), a.length / D, columns).s,
  };
}

describe.each(Object.keys(FACTORS))('inputs: %s', (name) => {
  // Fewer outputs than inputs, as many, and more (by QR).
  describe.each([24, D, 64])('%i outputs', (dOut) => {
    const weight = random(dOut * D, 5);
    const limit = Math.min(dOut, D);
    // At rank 16 the error is 1e-5 of the energy with outliers and at condition 1e12.
    const ranks = [0, 1, 8, 16, limit];

    test.each(ranks)('rank %i reaches the optimum, and the error is the measured one', (rank) => {
      const { moment, energy, singularValues } = inputs(name);
      const factors = factorize(la, { weight, dOut, dIn: D, moment, rank });
      const { up, down, error, relativeError, retainedEnergy } = factors;
      const residual = minus(weight, la.matmul(up, down, dOut, rank, D));
      const [measured, total] = [energy(residual), energy(weight)];
      const optimum = squared(singularValues(weight).subarray(rank));
      // Some 1e-14 was seen; where the optimum is 0, the residual is rounding squared.
      expectClose([measured], [optimum], { rel: 1e-12, abs: 1e-28 * total });
      // A Gram matrix knows its small eigenvalues to the rounding of its largest.
      expectClose([error], [measured], { rel: 1e-12, abs: 1e-14 * total });
      expectClose([relativeError ** 2, 1 - retainedEnergy], [measured / total, measured / total], {
        rel: 1e-12,
        abs: 1e-14,
      });
    });
  });
});

describe('factorize', () => {
  const moment = () => inputs('power law').moment;

  test.each([24, D, 64])('full rank reproduces the weight, %i outputs', (dOut) => {
    const weight = random(dOut * D, 6);
    const rank = Math.min(dOut, D);
    const { up, down } = factorize(la, { weight, dOut, dIn: D, moment: moment(), rank });
    expectClose(la.matmul(up, down, dOut, rank, D), weight, { abs: 1e-13 });
  });

  test.each([24, 64])('the first columns are the solution of a lower rank, %i outputs', (dOut) => {
    const input = { weight: random(dOut * D, 7), dOut, dIn: D, moment: moment() };
    const [wide, narrow] = [20, 6].map((rank) => factorize(la, { ...input, rank }));
    const columns = wide!.up.filter((_, i) => i % 20 < 6);
    expectClose(columns, narrow!.up, { abs: 1e-14 });
    expectClose(wide!.down.subarray(0, 6 * D), narrow!.down, { abs: 1e-13 });
  });

  test.each([24, 64])('the columns of up are orthonormal, %i outputs', (dOut) => {
    // Beyond the rank of S too, where dividing by singular values would lose it.
    const { moment } = inputs('rank D / 4');
    const { up } = factorize(la, { weight: random(dOut * D, 8), dOut, dIn: D, moment, rank: 20 });
    const gram = la.matmul(transpose(up, dOut, 20), up, 20, dOut, 20);
    expectClose(
      gram,
      gram.map((_, i) => (i % 21 === 0 ? 1 : 0)),
      { abs: 1e-13 },
    );
  });

  test.each([24, 64])('without a moment it is the plain SVD, %i outputs', (dOut) => {
    const weight = random(dOut * D, 9);
    const { up, down, error } = factorize(la, { weight, dOut, dIn: D, rank: 10 });
    const { u, s, v } = la.svd(weight, dOut, D);
    const k = Math.min(dOut, D);
    const kept = u.map((value, i) => (i % k < 10 ? value * s[i % k]! : 0));
    const expected = la.matmul(kept, transpose(v, D, k), dOut, k, D);
    expectClose(la.matmul(up, down, dOut, 10, D), expected, { abs: 1e-12 });
    expectClose([error], [squared(s.subarray(10))], { rel: 1e-12 });
  });

  test('a tall map is factored as the wide map that zero inputs make of it', () => {
    const [dOut, rank] = [64, 12];
    const weight = random(dOut * D, 10);
    const tall = factorize(la, { weight, dOut, dIn: D, moment: moment(), rank });
    // 24 more inputs that are always 0: now outputs are no more than inputs, and no QR is taken.
    const widen = (a: Float64Array, rows: number) => {
      const out = new Float64Array(rows * dOut);
      for (let i = 0; i < a.length; i++) out[Math.floor(i / D) * dOut + (i % D)] = a[i]!;
      return out;
    };
    const padded = { weight: widen(weight, dOut), moment: widen(moment(), dOut) };
    const wide = factorize(la, { ...padded, dOut, dIn: dOut, rank });
    expectClose(
      la.matmul(wide.up, wide.down, dOut, rank, dOut),
      widen(la.matmul(tall.up, tall.down, dOut, rank, D), dOut),
      { abs: 1e-11 },
    );
    expectClose([tall.error], [wide.error], { rel: 1e-11 });
  });

  test.each([1e-30, 3, 1e30])('the scale of S does not matter but for the error: %d', (scale) => {
    const input = { weight: random(24 * D, 11), dOut: 24, dIn: D, rank: 9 };
    const plain = factorize(la, { ...input, moment: moment() });
    const scaled = factorize(la, { ...input, moment: moment().map((value) => value * scale) });
    const products = [plain, scaled].map(({ up, down }) => la.matmul(up, down, 24, 9, D));
    expectClose(products[1]!, products[0]!, { abs: 1e-12 });
    expectClose([scaled.error / scale], [plain.error], { rel: 1e-11 });
    expectClose([scaled.relativeError], [plain.relativeError], { rel: 1e-11 });
  });

  test('float32 weights give what the same float64 weights give', () => {
    const weight = gaussian(24 * D, 12);
    const input = { dOut: 24, dIn: D, moment: moment(), rank: 5 };
    const single = factorize(la, { ...input, weight });
    expect(single).toEqual(factorize(la, { ...input, weight: new Float64Array(weight) }));
  });

  test('rank 0 is all error, no outputs none', () => {
    const nothing = factorize(la, { weight: random(24 * D, 13), dOut: 24, dIn: D, rank: 0 });
    expect([nothing.up.length, nothing.down.length, nothing.retainedEnergy]).toEqual([0, 0, 0]);
    const none = factorize(la, { weight: new Float64Array(0), dOut: 0, dIn: D, rank: 0 });
    expect([none.up.length, none.down.length, none.error, none.retainedEnergy]).toEqual([
      0, 0, 0, 1,
    ]);
  });

  test('float32 rounding in a singular moment passes', () => {
    const x = random(4 * D, 14);
    const sum = la.matmul(transpose(x, 4, D), x, D, 4, D);
    const noise = gaussian(D * D, 15);
    const moment = sum.map((value, i) => value + 1e-5 * noise[i]!);
    const weight = random(24 * D, 16);
    const { error, relativeError } = factorize(la, { weight, dOut: 24, dIn: D, moment, rank: 4 });
    expect(error).toBeGreaterThanOrEqual(0);
    expect(relativeError).toBeLessThan(1e-2); // sqrt of 1e-5, some dims over 4
  });

  test.each([
    [{ weight: new Float64Array(3) }, 'weight must be [2, 2], got 3 values'],
    [{ weight: Float64Array.of(1, 2, Number.NaN, 4) }, 'weight must be finite, got NaN at 2'],
    [{ moment: new Float64Array(3) }, 'moment must be [2, 2], got 3 values'],
    [{ moment: Float64Array.of(1, 0, 0, Number.POSITIVE_INFINITY) }, 'moment must be finite'],
    [{ moment: Float64Array.of(1, 0.5, 0, 1) }, 'symmetric, got 0 at [1, 0] and 0.5 at [0, 1]'],
    [{ moment: Float64Array.of(1, 0, 0, -1) }, 'moment must be positive semidefinite, got a mean'],
    [{ rank: 3 }, 'rank must be an integer from 0 to min(dOut=2, dIn=2), got 3'],
    [{ rank: -1 }, 'got -1'],
    [{ rank: 0.5 }, 'got 0.5'],
  ])('refuses %j', (change, message) => {
    const input = { weight: Float64Array.of(1, 0, 0, 1), dOut: 2, dIn: 2, rank: 1 };
    expect(() => factorize(la, { ...input, ...change })).toThrow(RangeError);
    expect(() => factorize(la, { ...input, ...change })).toThrow(message);
  });
});
