import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, expect, test } from 'vitest';
import { float64Products } from './float64-products';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

/** Values that float32 does not hold. */
const doubles = (length: number, seed: number) =>
  Float64Array.from(gaussian(length, seed), (value, i) => value + 1e-9 * Math.sin(i));

describeBackends('float64 products', () => {
  test.each([
    [5, 7, 3],
    [64, 33, 17],
    [1, 1, 1],
    [4, 0, 3],
    [0, 2, 3],
  ])('[%i, %i] times [.., %i]: as wasm has it, with either side transposed', (m, k, n) => {
    const [a, b] = [doubles(m * k, 1), doubles(k * n, 2)];
    const expected = la.matmul(a, b, m, k, n);
    const multiply = float64Products(la);
    const close = { abs: 1e-14 * (k + 1) }; // float32 would be off by 1e-7
    expectClose(multiply(a, b, { m, k, n }), expected, close);
    const [at, bt] = [transpose(a, m, k), transpose(b, k, n)];
    expectClose(multiply(at, b, { m, k, n, transposeA: true }), expected, close);
    expectClose(multiply(a, bt, { m, k, n, transposeB: true }), expected, close);
    const both = { m, k, n, transposeA: true, transposeB: true };
    expectClose(multiply(at, bt, both), expected, close);
  });

  test('memory that threads share is read, and operands stay', () => {
    // Without further headers a page has shared memory of wasm alone.
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const shared = new Float64Array(memory.buffer, 0, 12);
    shared.set(doubles(12, 3));
    const before = shared.slice();
    const found = float64Products(la)(shared, shared, { m: 4, k: 3, n: 4, transposeB: true });
    expectClose(found, la.matmul(before, transpose(before, 4, 3), 4, 3, 4), { abs: 1e-13 });
    expect(shared).toEqual(before);
  });
});
