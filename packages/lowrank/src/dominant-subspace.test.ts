import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { dominantSubspace } from './dominant-subspace';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const [n, rank, width] = [96, 8, 16];
const options = { rank, width, products: 24, seed: 1 };

/** V Λ Vᵀ [n, n] and V, columns in Λ's order. */
function symmetric(value: (i: number) => number) {
  const { q: vectors } = la.qr(new Float64Array(gaussian(n * n, 1)), n, n);
  const scaled = vectors.map((entry, i) => entry * value(i % n));
  return { vectors, matrix: la.matmul(scaled, transpose(vectors, n, n), n, n, n) };
}

async function found(values: Float64Array, given = options): Promise<Float64Array> {
  const matrix = tf.tensor2d(new Float32Array(values), [n, n]);
  const q = await dominantSubspace(la, matrix, given);
  const out = new Float64Array(await q.data());
  tf.dispose([matrix, q]);
  return out;
}

/** How much of each of the first vectors is outside of q. */
function missing(vectors: Float64Array, q: Float64Array): number[] {
  const inside = la.matmul(transpose(vectors, n, n), q, n, n, width); // [n, width]
  return Array.from({ length: rank }, (_, i) => {
    const row = inside.subarray(i * width, (i + 1) * width);
    return 1 - row.reduce((sum, value) => sum + value * value, 0);
  });
}

describeBackends('the dominant subspace', () => {
  test.each([
    ['falling as 1 / i', (i: number) => 1 / (i + 1)],
    ['falling from 1 to 0.5', (i: number) => 1 - i / (2 * n)],
    ['with three 1e5 times the rest', (i: number) => (i < 3 ? 1 : 1e-5 * 0.95 ** i)],
    ['of rank 4', (i: number) => (i < 4 ? 1 : 0)],
  ])('holds the largest eigenvectors, eigenvalues %s', async (_, value) => {
    const { vectors, matrix } = symmetric(value);
    const q = await found(matrix);
    const gram = la.matmul(transpose(q, n, width), q, width, n, width);
    const identity = gram.map((__, i) => (i % (width + 1) === 0 ? 1 : 0));
    expectClose(gram, identity, { abs: 1e-4 }); // float32, and the condition of the last block
    const wanted = missing(vectors, q).filter((__, i) => value(i) > 0);
    expect(Math.max(...wanted)).toBeLessThan(1e-2); // squared: 1e-4 of an eigenvalue's share
  });

  test('a filter finds in a third of the products what powers do', async () => {
    const { vectors, matrix } = symmetric((i) => 1 / (i + 1));
    const worst = (q: Float64Array) => Math.max(...missing(vectors, q));
    const few = worst(await found(matrix, { ...options, products: 2 }));
    const filtered = worst(await found(matrix, { ...options, products: 5 }));
    // Three products of powers would gain ((1 / 8) / (1 / 17))⁶ = 92.
    expect(filtered).toBeLessThan(few / 1000);
  });

  test('leaves no tensors behind but its result', async () => {
    const matrix = tf.tensor2d(new Float32Array(symmetric((i) => 1 / (i + 1)).matrix), [n, n]);
    await expectNoLeak(async () => {
      (await dominantSubspace(la, matrix, options)).dispose();
    });
    matrix.dispose();
  });
});
