import { expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { factorize } from './factorize';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';
import { truncateFactors } from './truncate-factors';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const D = 24;
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));

describe.each([
  ['fewer outputs than inputs', 16, false],
  ['more outputs than inputs', 40, false],
  ['weighted outputs', 16, true],
])('%s', (_, dOut, weighted) => {
  function input(rank: number) {
    const x = random(60 * D, 1).map((value, i) => value / (1 + (i % D)));
    const moment = la.matmul(transpose(x, 60, D), x, D, 60, D);
    const outputWeights = weighted
      ? [2, 5].map((scale) => Float64Array.from({ length: 64 }, (_, i) => (i % 9 ? 0 : scale + i)))
      : undefined;
    return { weight: random(dOut * D, 2), dOut, dIn: D, moment, outputWeights, rank };
  }

  test.each([0, 1, 5, 12])('the first %i dims are the factor of that rank, error included', (r) => {
    const cut = truncateFactors(factorize(la, input(12)), r);
    const own = factorize(la, input(r));
    expectClose(cut.up, own.up, { abs: 1e-13 });
    expectClose(cut.down, own.down, { abs: 1e-13 });
    expectClose([cut.error, cut.relativeError], [own.error, own.relativeError], { rel: 1e-12 });
    expect([cut.rank, cut.energy]).toEqual([r, own.energy]);
  });

  test.each([13, -1, 0.5, Number.NaN])('refuses rank %d', (rank) => {
    expect(() => truncateFactors(factorize(la, input(12)), rank)).toThrow(
      new RangeError(
        `truncateFactors: rank must be an integer from 0 to that of the factors, 12, got ${rank}.`,
      ),
    );
  });
});
