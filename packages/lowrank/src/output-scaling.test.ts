import { expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Factors, factorize } from './factorize';
import { jointFactors, jointFactorsBy } from './joint-factors';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import type { OutputWeights } from './output-scaling';
import { splitFactors, splitFactorsBy } from './split-factors';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const D = 20;
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));

/** F Fᵀ of a random F [n, columns]. */
function semidefinite(n: number, seed: number, columns = n): Float64Array {
  const f = random(n * columns, seed);
  return la.matmul(f, transpose(f, n, columns), n, columns, n);
}

function multiple(n: number, factor: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? factor : 0));
}

/** tr(Rᵀ A R S) of R = W - up down, as the sum over the blocks of A. */
function weightedError(
  { up, down, rank }: Factors,
  weight: Float64Array,
  moment: Float64Array,
  blocks: OutputWeights,
): number {
  const dOut = weight.length / D;
  const product = la.matmul(up, down, dOut, rank, D);
  const residual = weight.map((value, i) => value - product[i]!);
  let [row, error] = [0, 0];
  for (const block of blocks) {
    const n = Math.sqrt(block.length);
    const rows = residual.subarray(row * D, (row + n) * D);
    const left = la.matmul(block, rows, n, n, D);
    const right = la.matmul(rows, moment, n, D, D);
    error += left.reduce((sum, value, i) => sum + value * right[i]!, 0);
    row += n;
  }
  return error;
}

const damped = (blocks: OutputWeights) =>
  blocks.map((block) => {
    const n = Math.sqrt(block.length);
    const mean = multiple(n, 1).reduce((sum, one, i) => sum + one * block[i]!, 0) / n;
    return block.map((value, i) => value + (i % (n + 1) === 0 ? 1e-3 * mean : 0));
  });

describe('output weights', () => {
  // Two KV heads with 6 dims of keys and two with 8 of values: 28 rows, more than the 20 inputs.
  const blocks = (): OutputWeights => [
    semidefinite(6, 1),
    semidefinite(6, 2, 2), // of rank 2, as few queries give
    semidefinite(8, 3).map((value) => 30 * value),
    semidefinite(8, 4),
  ];
  const weight = random(28 * D, 5);
  const moment = () => semidefinite(D, 6, 40);

  test.each([0, 4, 12, D])('rank %i: the reported error is the measured one', (rank) => {
    const input = { weight, dOut: 28, dIn: D, moment: moment(), rank };
    const factors = factorize(la, { ...input, outputWeights: blocks() });
    const measured = weightedError(factors, weight, moment(), damped(blocks()));
    // The floor under the damping, 1e-9 of the mean, is not in the measured one.
    expectClose([factors.error], [measured], { rel: 1e-6, abs: 1e-9 * factors.energy });
    expect(factors.relativeError).toBeCloseTo(Math.sqrt(factors.error / factors.energy), 12);
  });

  test.each([4, 12])('rank %i: no other factor has less of what is weighted', (rank) => {
    const input = { weight, dOut: 28, dIn: D, moment: moment(), rank };
    const error = (factors: Factors) => weightedError(factors, weight, moment(), damped(blocks()));
    const best = error(factorize(la, { ...input, outputWeights: blocks() }));
    expect(best).toBeLessThan(0.95 * error(factorize(la, input)));
    // The optimum of Z W F, by SVD.
    const root = factorOf(moment());
    const scaled = damped(blocks()).map(factorOf);
    let row = 0;
    const zw = new Float64Array(28 * D);
    for (const z of scaled) {
      const n = Math.sqrt(z.length);
      const rows = weight.subarray(row * D, (row + n) * D);
      zw.set(la.matmul(transpose(z, n, n), rows, n, n, D), row * D);
      row += n;
    }
    const { s } = la.svd(la.matmul(zw, root, 28, D, D), 28, D);
    const optimum = s.subarray(rank).reduce((sum, value) => sum + value * value, 0);
    expectClose([best], [optimum], { rel: 1e-6 });
  });

  test.each([1e-12, 1, 1e12])('all alike, %d times the identity, change nothing', (scale) => {
    const input = { weight, dOut: 28, dIn: D, moment: moment(), rank: 9 };
    const plain = factorize(la, input);
    const alike = [6, 6, 8, 8].map((n) => multiple(n, scale));
    const found = factorize(la, { ...input, outputWeights: alike });
    const product = ({ up, down }: Factors) => la.matmul(up, down, 28, 9, D);
    expectClose(product(found), product(plain), { abs: 1e-10 });
    expectClose([found.relativeError], [plain.relativeError], { rel: 1e-8 });
  });

  test('weights of zeros prefer nothing, and one block of zeros costs nothing', () => {
    const input = { weight, dOut: 28, dIn: D, moment: moment(), rank: 9 };
    const zeros = [6, 6, 8, 8].map((n) => multiple(n, 0));
    expect(factorize(la, { ...input, outputWeights: zeros })).toEqual(factorize(la, input));
    const some = [semidefinite(6, 1), multiple(6, 0), semidefinite(8, 3), semidefinite(8, 4)];
    const found = factorize(la, { ...input, outputWeights: some });
    expect(found.up.every(Number.isFinite)).toBe(true);
  });

  test('full rank reproduces the weight', () => {
    const found = factorize(la, { weight, dOut: 28, dIn: D, outputWeights: blocks(), rank: D });
    expectClose(la.matmul(found.up, found.down, 28, D, D), weight, { abs: 1e-11 });
  });

  test.each<[OutputWeights, string]>([
    [[multiple(6, 1)], 'factorize: outputWeights must cover dOut=28 rows, got 6.'],
    [[new Float64Array(5)], 'factorize: outputWeights[0] must be [2, 2], got 5 values.'],
    [[multiple(27, 1), Float64Array.of(Number.NaN)], 'outputWeights[1] must be finite, got NaN'],
    [[multiple(27, 1), Float64Array.of(-1)], 'outputWeights must be positive semidefinite, got'],
    [[multiple(26, 1), Float64Array.of(1, 1, 0, 1)], 'outputWeights[1] must be symmetric, got 0'],
  ])('refuses %#', (outputWeights, message) => {
    const run = () => factorize(la, { weight, dOut: 28, dIn: D, outputWeights, rank: 2 });
    expect(run).toThrow(RangeError);
    expect(run).toThrow(message);
  });
});

describe('weighted keys and values', () => {
  const key = { weight: random(12 * D, 7), dOut: 12, outputWeights: [] as Float64Array[] };
  const value = { weight: random(16 * D, 8), dOut: 16, outputWeights: [] as Float64Array[] };
  beforeAll(() => {
    key.outputWeights = [semidefinite(6, 1), semidefinite(6, 2, 2)];
    value.outputWeights = [semidefinite(8, 3), semidefinite(8, 4)];
  });

  test('jointly, they are one weighted factor; in groups, each has its own heads', () => {
    const moment = semidefinite(D, 9);
    const joint = jointFactors(la, { key, value, dIn: D, moment, rank: 8 });
    const whole = factorize(la, {
      weight: Float64Array.of(...key.weight, ...value.weight),
      ...{ dOut: 28, dIn: D, moment, rank: 8 },
      outputWeights: [...key.outputWeights, ...value.outputWeights],
    });
    expect([...joint.upK, ...joint.upV]).toEqual([...whole.up]);
    const groups = jointFactors(la, { key, value, dIn: D, moment, rank: 8, groups: 2 });
    const second = factorize(la, {
      weight: Float64Array.of(...key.weight.subarray(6 * D), ...value.weight.subarray(8 * D)),
      ...{ dOut: 14, dIn: D, moment, rank: 4 },
      outputWeights: [key.outputWeights[1]!, value.outputWeights[1]!],
    });
    expect([...groups.upK.subarray(24), ...groups.upV.subarray(32)]).toEqual([...second.up]);
  });

  test('apart, each side is weighted by its own', () => {
    const split = splitFactors(la, { key, value, dIn: D, rank: 5 });
    expect(split.upK).toEqual(factorize(la, { ...key, dIn: D, rank: 5 }).up);
    expect(split.eigenvalues.map(({ length }) => length)).toEqual([12, 16]);
  });

  test("a factorisation of the caller's is used part by part, in order", async () => {
    const run = async (part: Parameters<typeof factorize>[1]) => factorize(la, part);
    const input = { key, value, dIn: D, rank: 8 };
    expect(await jointFactorsBy(run, { ...input, groups: 2 })).toEqual(
      jointFactors(la, { ...input, groups: 2 }),
    );
    expect(await splitFactorsBy(run, input)).toEqual(splitFactors(la, input));
  });

  test('one side alone, and a block of two groups, are refused', () => {
    const plain = { weight: value.weight, dOut: 16 };
    expect(() => jointFactors(la, { key, value: plain, dIn: D, rank: 8 })).toThrow(
      'jointFactors: outputWeights must be of keys and of values, got those of key only.',
    );
    const whole = { ...key, outputWeights: [multiple(12, 1)] };
    expect(() => jointFactors(la, { key: whole, value, dIn: D, rank: 8, groups: 2 })).toThrow(
      'jointFactors: outputWeights[0] must lie in one of 2 groups of 6 rows, got rows 0 to 11.',
    );
  });
});

/** F with F Fᵀ = S, by eigenvectors. */
function factorOf(moment: Float64Array): Float64Array {
  const n = Math.sqrt(moment.length);
  const { values, vectors } = la.eigh(moment, n);
  return transpose(vectors, n, n).map((entry, i) => entry * Math.sqrt(Math.max(0, values[i % n]!)));
}
