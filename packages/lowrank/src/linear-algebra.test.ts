import { expectClose, gaussian } from '@mha2mla/testing';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

/** Sizes around faer's switches of algorithm and of tile: none, one, odd, a power of two, 100+. */
const SIZES = [0, 1, 2, 3, 7, 16, 33, 64, 121];
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));
/** Backward stability: a few roundings a dimension, of the largest entry. */
const tolerance = (size: number) => ({ abs: 4e-15 * Math.max(8, size) });

/** The definition, as far from faer as it gets. */
function product(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let x = 0; x < k; x++) {
      for (let j = 0; j < n; j++) out[i * n + j]! += a[i * k + x]! * b[x * n + j]!;
    }
  }
  return out;
}

function identity(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
}

/** Columns of a [rows, diagonal.length] times the diagonal. */
function timesDiagonal(a: Float64Array, diagonal: Float64Array): Float64Array {
  return a.map((value, i) => value * diagonal[i % diagonal.length]!);
}

const unit = (a: Float64Array) => {
  const max = a.reduce((m, value) => Math.max(m, Math.abs(value)), 0) || 1;
  return a.map((value) => value / max);
};

const gram = (a: Float64Array, m: number, n: number) => product(transpose(a, m, n), a, n, m, n);

function expectDescending(values: Float64Array): void {
  expect([...values]).toEqual([...values].sort((a, b) => b - a));
}

function expectEigh(a: Float64Array, n: number): void {
  const { values, vectors } = la.eigh(a, n);
  const columns = transpose(vectors, n, n);
  expectClose(product(timesDiagonal(columns, values), vectors, n, n, n), a, tolerance(n));
  expectClose(product(vectors, columns, n, n, n), identity(n), tolerance(n));
  expectDescending(values);
}

function expectQr(a: Float64Array, m: number, n: number): void {
  const { q, r } = la.qr(a, m, n);
  expectClose(product(q, r, m, n, n), a, tolerance(m));
  expectClose(gram(q, m, n), identity(n), tolerance(m));
  for (let i = 0; i < n; i++)
    expect([...r.subarray(i * n, i * n + i)].every((x) => x === 0)).toBe(true);
}

function expectSvd(a: Float64Array, m: number, n: number): void {
  const k = Math.min(m, n);
  const { u, s, v } = la.svd(a, m, n);
  expectClose(product(timesDiagonal(u, s), transpose(v, n, k), m, k, n), a, tolerance(m + n));
  expectClose(gram(u, m, k), identity(k), tolerance(m + n));
  expectClose(gram(v, n, k), identity(k), tolerance(m + n));
  expectDescending(s);
  expect(s.every((value) => value >= 0)).toBe(true);
}

/** Of unit scale: symmetric, of this rank, singular values falling to `smallest`. */
function symmetric(n: number, seed: number, rank = n, smallest = 0.1): Float64Array {
  const diagonal = Float64Array.from({ length: rank }, (_, i) => smallest ** (i / rank));
  const a = random(n * rank, seed);
  return unit(product(timesDiagonal(a, diagonal), transpose(a, n, rank), n, rank, n));
}

function rectangular(m: number, n: number, seed: number, rank = Math.min(m, n)): Float64Array {
  return unit(product(random(m * rank, seed), random(rank * n, seed + 1), m, rank, n));
}

describe.each(SIZES)('at size %i', (n) => {
  test('eigh: V Λ Vᵀ is A, V is orthonormal, values descend', () => {
    expectEigh(symmetric(n, n), n);
    expectEigh(symmetric(n, n, n, 1e-14), n);
    expectEigh(symmetric(n, n, Math.ceil(n / 3)), n);
    expectEigh(identity(n), n);
    expectEigh(new Float64Array(n * n), n);
  });

  test.each([n, n + 1, 2 * n])('qr: Q R is A, Q is orthonormal, m = %i', (m) => {
    expectQr(rectangular(m, n, n), m, n);
    expectQr(rectangular(m, n, n, Math.ceil(n / 3)), m, n);
    expectQr(new Float64Array(m * n), m, n);
  });

  test.each([0, 1, Math.floor(n / 3)])('eigh: the %i largest are those of all', (top) => {
    if (top > n) return expect(() => la.eigh(symmetric(n, n), n, top)).toThrow(RangeError);
    const a = symmetric(n, n);
    const [all, some] = [la.eigh(a, n), la.eigh(a, n, top)];
    expect(some.values).toEqual(all.values);
    expectClose(some.vectors, all.vectors.subarray(0, top * n), tolerance(n));
  });

  test.each([n, 2 * n + 1])('implicitQr: Q b is that of qr, m = %i', (m) => {
    const a = rectangular(m, n, n, Math.ceil(n / 2));
    const { r, applyQ } = la.implicitQr(a, m, n);
    const explicit = la.qr(a, m, n);
    expect(r).toEqual(explicit.r);
    for (const k of [0, 1, n]) {
      const b = random(n * k, k + 5);
      expectClose(applyQ(b, k), product(explicit.q, b, m, n, k), tolerance(10 * m));
    }
  });

  test.each([n + 9, 2 * n + 1])(
    'choleskyQr: R and Q b are those of qr, but for signs, m = %i',
    (m) => {
      const a = rectangular(m, n, n);
      const found = la.choleskyQr(a, m, n)!;
      const { q, r } = la.qr(a, m, n);
      const signs = Float64Array.from({ length: n }, (_, i) => Math.sign(r[i * (n + 1)]!));
      const abs = 1e-8;
      expectClose(
        found.r,
        r.map((value, i) => value * signs[Math.floor(i / n)]!),
        { abs },
      );
      expect(found.r.every((value, i) => i % n >= Math.floor(i / n) || value === 0)).toBe(true);
      for (const k of [0, 1, n]) {
        const b = random(n * k, k + 5);
        const turned = b.map((value, i) => value * signs[Math.floor(i / k)]!);
        expectClose(found.applyQ(b, k), product(q, turned, m, n, k), { abs });
      }
    },
  );

  test('inverseCholesky: Tᵀ A T is I, T upper triangular, the upper triangle read', () => {
    const a = gram(rectangular(n + 9, n, n + 2), n + 9, n);
    const upper = a.map((value, i) => (i % Math.max(1, n) < Math.floor(i / n) ? 99 : value));
    const t = la.inverseCholesky(upper, n)!;
    expect(t.every((value, i) => i % n >= Math.floor(i / n) || value === 0)).toBe(true);
    const right = product(a, t, n, n, n);
    expectClose(product(transpose(t, n, n), right, n, n, n), identity(n), { abs: 1e-6 }); // eps times the condition of a
  });

  test('congruence: a triangle with and without a value below it', () => {
    const s = symmetric(n, n + 1);
    const triangle = random(n * n, n).map((x, i) => (i % n < Math.floor(i / n) ? 0 : x));
    const whole = triangle.slice();
    if (n > 1) whole[n * (n - 1)] = 0.5;
    for (const t of [triangle, whole]) {
      const expected = product(product(t, s, n, n, n), transpose(t, n, n), n, n, n);
      expectClose(la.congruence(t, s, n, n), expected, tolerance(n * n));
    }
  });

  test.each([1, Math.floor(n / 2), n + 3])('congruence: T S Tᵀ, %i rows', (rows) => {
    const [t, s] = [unit(random(rows * n, n)), symmetric(n, n + 1)];
    const expected = product(product(t, s, rows, n, n), transpose(t, rows, n), rows, n, rows);
    const found = la.congruence(t, s, rows, n);
    expectClose(found, expected, tolerance(n * n));
    expect(found).toEqual(transpose(found, rows, rows));
    const upper = s.map((value, i) => (i % Math.max(1, n) < Math.floor(i / n) ? 99 : value));
    expect(la.congruence(t, upper, rows, n)).toEqual(found);
  });

  test.each([Math.floor(n / 2), n, n + 9])('svd: U S Vᵀ is A, m = %i', (m) => {
    expectSvd(rectangular(m, n, n), m, n);
    expectSvd(rectangular(m, n, n, Math.ceil(Math.min(m, n) / 3)), m, n);
    expectSvd(new Float64Array(m * n), m, n);
  });
});

test('matmul equals its definition at any sizes', () => {
  const size = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(...SIZES));
  fc.assert(
    fc.property(size, size, size, fc.nat(1e6), (m, k, n, seed) => {
      const [a, b] = [unit(random(m * k, seed)), unit(random(k * n, seed + 1))];
      expectClose(la.matmul(a, b, m, k, n), product(a, b, m, k, n), tolerance(k));
    }),
    { numRuns: 60, seed: 1 },
  );
});

test('eigh and svd hold their residuals from 1e-290 to 1e290', () => {
  const sizes = fc.integer({ min: 1, max: 24 });
  fc.assert(
    fc.property(sizes, fc.nat(1e6), fc.integer({ min: -290, max: 290 }), (n, seed, exponent) => {
      const scale = 10 ** exponent;
      const a = symmetric(n, seed);
      const scaled = a.map((value) => value * scale);
      const eigen = la.eigh(scaled, n);
      expectClose(
        eigen.values.map((value) => value / scale),
        la.eigh(a, n).values,
        tolerance(n),
      );
      expectClose(gram(eigen.vectors, n, n), identity(n), tolerance(n));
      const { s, u } = la.svd(scaled, n, n);
      expectClose(
        s.map((value) => value / scale),
        la.svd(a, n, n).s,
        tolerance(n),
      );
      expectClose(gram(u, n, n), identity(n), tolerance(n));
    }),
    { numRuns: 100, seed: 1 },
  );
});

test('eigh reads the upper triangle only', () => {
  const a = symmetric(5, 3);
  const upper = a.map((value, i) => (i % 5 < Math.floor(i / 5) ? 99 : value));
  expect(la.eigh(upper, 5)).toEqual(la.eigh(a, 5));
});

test.each([
  ['zeros', () => new Float64Array(60)],
  ['of rank 3', () => rectangular(10, 6, 1, 3)],
  [
    'with a column of 1e-6',
    () => rectangular(10, 6, 1).map((x, i) => (i % 6 === 2 ? x * 1e-6 : x)),
  ],
])('choleskyQr leaves a matrix %s to Householder', (_, matrix) => {
  expect(la.choleskyQr(matrix(), 10, 6)).toBeUndefined();
  const scaled = rectangular(10, 6, 1).map((x) => x * 1e-200); // whose squares are 0
  expect(la.choleskyQr(scaled, 10, 6)).toBeDefined();
});

test('inverseCholesky leaves what is not positive definite', () => {
  expect(la.inverseCholesky(new Float64Array(4), 2)).toBeUndefined();
  expect(la.inverseCholesky(Float64Array.of(1, 2, 2, 1), 2)).toBeUndefined();
});

test('operands stay as they were', () => {
  const a = symmetric(6, 1);
  const copy = a.slice();
  la.eigh(a, 6);
  la.qr(a, 6, 6);
  la.svd(a, 6, 6);
  la.matmul(a, a, 6, 6, 6);
  la.implicitQr(a, 6, 6).applyQ(a, 6);
  la.choleskyQr(a, 6, 6)?.applyQ(a, 6);
  la.inverseCholesky(a, 6);
  la.congruence(a, a, 6, 6);
  expect(a).toEqual(copy);
});

test('one module serves a thread', async () => {
  expect(await loadLinearAlgebra()).toBe(la);
});

describe('refusals name the operation and what it got', () => {
  test.each([
    ['eigh', () => la.eigh(new Float64Array(3), 2), 'eigh: a must be [2, 2], got 3 values.'],
    ['eigh', () => la.eigh(new Float64Array(1), -1), 'eigh: a must be [-1, -1], got 1 values.'],
    ['qr', () => la.qr(new Float64Array(6), 2, 3), 'qr: m must be at least n, got m=2, n=3.'],
    [
      'choleskyQr',
      () => la.choleskyQr(new Float64Array(6), 2, 3),
      'choleskyQr: m must be at least n, got m=2, n=3.',
    ],
    [
      'eigh',
      () => la.eigh(new Float64Array(4), 2, 3),
      'eigh: top must be an integer from 0 to n=2, got 3.',
    ],
    [
      'congruence',
      () => la.congruence(new Float64Array(2), new Float64Array(3), 1, 2),
      'congruence: s must be [2, 2], got 3 values.',
    ],
    [
      'svd',
      () => la.svd(Float64Array.of(1, Number.NaN), 1, 2),
      'svd: a must be finite, got NaN at 1.',
    ],
    [
      'matmul',
      () => la.matmul(Float64Array.of(1), Float64Array.of(Number.POSITIVE_INFINITY), 1, 1, 1),
      'matmul: b must be finite, got Infinity at 0.',
    ],
  ])('%s: %#', (_, run, message) => {
    expect(run).toThrow(new RangeError(message));
  });
});
