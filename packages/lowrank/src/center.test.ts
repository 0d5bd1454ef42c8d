/** Factors of what is left without the mean, whose own part is a constant. */
import { expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { factorize } from './factorize';
import { jointFactors } from './joint-factors';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { SecondMoment } from './second-moment';
import { splitFactors } from './split-factors';
import { transpose } from './transpose';
import { truncateFactors } from './truncate-factors';
import { withFallback } from './with-fallback';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const [D, T, RANK] = [24, 200, 6];
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));
const key = { weight: random(12 * D, 1), dOut: 12 };
const value = { weight: random(20 * D, 2), dOut: 20 };

/** Tokens whose mean is planted, 20 times as large as what they differ by. */
function tokens(seed: number): Float64Array {
  const mean = random(D, seed + 100).map((x) => 20 * x);
  return random(T * D, seed).map((x, i) => x / (1 + (i % D)) + mean[i % D]!);
}

function momentOf(x: Float64Array): SecondMoment {
  const moment = new SecondMoment(D);
  const count = x.length / D;
  moment.sum.set(la.matmul(transpose(x, count, D), x, D, count, D));
  for (const [i, entry] of x.entries()) moment.first[i % D]! += entry;
  moment.count = count;
  return moment;
}

/** Mean of |W x - up down x - offset|² over tokens. */
function measured(
  weight: Float64Array,
  up: Float64Array,
  down: Float64Array,
  offset: Float64Array | undefined,
  x: Float64Array,
): number {
  const [rows, count] = [weight.length / D, x.length / D];
  const product = la.matmul(up, down, rows, down.length / D, D);
  const lost = la.matmul(
    weight.map((entry, i) => entry - product[i]!),
    transpose(x, count, D),
    ...([rows, D, count] as const),
  );
  return (
    lost.reduce((sum, e, i) => sum + (e - (offset?.[Math.floor(i / count)] ?? 0)) ** 2, 0) / count
  );
}

describe('factors of centered inputs', () => {
  test.each([12, 40])(
    'the predicted error is the real one, with the constant only, %i outputs',
    (dOut) => {
      const x = tokens(3);
      const own = momentOf(x);
      const weight = random(dOut * D, 4);
      const input = { weight, dOut, dIn: D, moment: own.centered(), mean: own.mean(), rank: RANK };
      const { up, down, offset, error, latentMean } = factorize(la, input);
      expectClose([measured(weight, up, down, offset, x)], [error], { rel: 1e-9 });
      expect(measured(weight, up, down, undefined, x)).toBeGreaterThan(10 * error);
      expectClose(latentMean!, la.matmul(down, own.mean(), RANK, D, 1), { abs: 1e-12 });
      // No linear map of that rank does as well as this affine one.
      const plain = factorize(la, { ...input, moment: own.normalized(), mean: undefined });
      expect(error).toBeLessThan(plain.error);
      expect(plain.offset).toBeUndefined();
    },
  );

  test('two modalities with means of their own each have a constant of their own', () => {
    for (const seed of [5, 6]) {
      const x = tokens(seed);
      const own = momentOf(x);
      const input = { key, value, dIn: D, moment: own.centered(), mean: own.mean(), rank: RANK };
      const joint = jointFactors(la, input);
      const error =
        measured(key.weight, joint.upK, joint.down, joint.offsetK, x) +
        measured(value.weight, joint.upV, joint.down, joint.offsetV, x);
      expectClose([error], [joint.error], { rel: 1e-9 });
      const split = splitFactors(la, input);
      const apart =
        measured(key.weight, split.upK, split.downK, split.offsetK, x) +
        measured(value.weight, split.upV, split.downV, split.offsetV, x);
      expectClose([apart], [split.error], { rel: 1e-9 });
    }
  });

  test('groups have the constants of their own rows', () => {
    const own = momentOf(tokens(7));
    const input = { key, value, dIn: D, moment: own.centered(), mean: own.mean(), rank: RANK };
    const { offsetK, offsetV, upV, down } = jointFactors(la, { ...input, groups: 2 });
    expect([offsetK!.length, offsetV!.length]).toEqual([12, 20]);
    const last = la.matmul(
      upV.subarray(19 * 3),
      la.matmul(down.subarray(3 * D), own.mean(), 3, D, 1),
      1,
      3,
      1,
    );
    const whole = la.matmul(value.weight.subarray(19 * D), own.mean(), 1, D, 1);
    expectClose([offsetV![19]!], [whole[0]! - last[0]!], { rel: 1e-9 });
  });

  test.each([0, 1, 5, RANK])('cut to rank %i the constant is that of the rank', (rank) => {
    const own = momentOf(tokens(8));
    const input = { ...value, dIn: D, moment: own.centered(), mean: own.mean() };
    const cut = truncateFactors(factorize(la, { ...input, rank: RANK }), rank);
    const direct = factorize(la, { ...input, rank });
    expectClose(cut.offset!, direct.offset!, { abs: 1e-10 });
    expectClose(cut.latentMean!, direct.latentMean!, { abs: 1e-10 });
  });

  test('a mean of another length is refused', () => {
    expect(() => factorize(la, { ...key, dIn: D, mean: new Float64Array(3), rank: 1 })).toThrow(
      'factorize: mean must be [24, 1], got 3 values.',
    );
  });
});

describe('withFallback of centered moments', () => {
  const options = { rank: RANK, center: true };

  test('many tokens: the centered moment and the mean are their own', () => {
    const [own, other] = [momentOf(tokens(9)), momentOf(tokens(10))];
    const found = withFallback(own, own.clone().merge(other), options);
    expect(found).toEqual({ moment: own.centered(), mean: own.mean(), usedFallback: false });
  });

  test('few tokens keep their mean, none take that of all', () => {
    const other = momentOf(tokens(11));
    const few = momentOf(tokens(12).slice(0, 4 * D));
    expect(withFallback(few, few.clone().merge(other), options).mean).toEqual(few.mean());
    expect(withFallback(new SecondMoment(D), other, options)).toEqual({
      moment: other.centered(),
      mean: other.mean(),
      usedFallback: true,
    });
  });
});
