import { expectClose, gaussian } from '@mha2mla/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { factorize } from './factorize';
import { jointFactors } from './joint-factors';
import { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
import { splitFactors } from './split-factors';
import { transpose } from './transpose';

let la: LinearAlgebra;
beforeAll(async () => {
  la = await loadLinearAlgebra();
});

const D = 32;
// Four KV heads of 16 dims, 6 of which have lost their rotation.
const [K, dK, dV] = [4, 24, 64];
const random = (length: number, seed: number) => new Float64Array(gaussian(length, seed));
const key = { weight: random(dK * D, 1), dOut: dK };
const value = { weight: random(dV * D, 2), dOut: dV };

function secondMoment(): Float64Array {
  const x = random(3 * D * D, 3).map((entry, i) => entry / (1 + (i % D)));
  return la.matmul(transpose(x, 3 * D, D), x, D, 3 * D, D);
}

const rows = (a: Float64Array, width: number, start: number, end: number) =>
  a.subarray(start * width, end * width);

const times = (up: Float64Array, down: Float64Array, rank: number) =>
  la.matmul(up, down, up.length / rank, rank, D);

function concat(...parts: Float64Array[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => [...part]));
}

/** tr((A - B) S (A - B)ᵀ). */
function measuredError(a: Float64Array, b: Float64Array, moment: Float64Array): number {
  const residual = a.map((entry, i) => entry - b[i]!);
  const weighted = la.matmul(residual, moment, residual.length / D, D, D);
  return residual.reduce((sum, entry, i) => sum + entry * weighted[i]!, 0);
}

describe('jointFactors', () => {
  test.each([undefined, 'own'])('one group is one factor of [key; value], moment: %s', (which) => {
    const moment = which ? secondMoment() : undefined;
    const rank = 12;
    const joint = jointFactors(la, { key, value, dIn: D, moment, rank });
    const weight = concat(key.weight, value.weight);
    const whole = factorize(la, { weight, dOut: dK + dV, dIn: D, moment, rank });
    expect(joint.down).toEqual(whole.down);
    expect(concat(joint.upK, joint.upV)).toEqual(whole.up);
    expect(joint.eigenvalues).toEqual([whole.eigenvalues]);
    expect([joint.error, joint.relativeError]).toEqual([whole.error, whole.relativeError]);
  });

  test.each([1, 2, 4])('full rank reproduces keys and values, %i groups', (groups) => {
    // A group of one head has 22 outputs, of two 44, which is more than the 32 inputs.
    const rank = groups * Math.min((dK + dV) / groups, D);
    const joint = jointFactors(la, { key, value, dIn: D, moment: secondMoment(), rank, groups });
    const { keys, values } = products(joint, groups, rank);
    expectClose(keys, key.weight, { abs: 1e-13 });
    expectClose(values, value.weight, { abs: 1e-13 });
    expectClose([joint.error, joint.retainedEnergy], [0, 1], { abs: 1e-12 });
  });

  test.each([1, 2, 4])('the error is the measured one, %i groups', (groups) => {
    const moment = secondMoment();
    const joint = jointFactors(la, { key, value, dIn: D, moment, rank: 16, groups });
    const { keys, values } = products(joint, groups, 16);
    const error =
      measuredError(key.weight, keys, moment) + measuredError(value.weight, values, moment);
    const zeros = new Float64Array((dK + dV) * D);
    const total = measuredError(concat(key.weight, value.weight), zeros, moment);
    expectClose([joint.error], [error], { rel: 1e-11 });
    expectClose([joint.relativeError ** 2], [error / total], { rel: 1e-11 });
    expectClose([joint.retainedEnergy], [1 - error / total], { rel: 1e-13 });
    expect(joint.eigenvalues.map(({ length }) => length)).toEqual(
      Array(groups).fill(Math.min(D, (dK + dV) / groups)),
    );
  });

  test('each group is the joint factor of its own heads', () => {
    const moment = secondMoment();
    const joint = jointFactors(la, { key, value, dIn: D, moment, rank: 16, groups: 2 });
    for (const group of [0, 1]) {
      const part = ({ weight }: typeof key, dOut: number) => ({
        weight: rows(weight, D, (group * dOut) / 2, ((group + 1) * dOut) / 2),
        dOut: dOut / 2,
      });
      const own = { key: part(key, dK), value: part(value, dV), dIn: D, moment, rank: 8 };
      const alone = jointFactors(la, own);
      expect(rows(joint.down, D, 8 * group, 8 * group + 8)).toEqual(alone.down);
      expect(rows(joint.upK, 8, (group * dK) / 2, ((group + 1) * dK) / 2)).toEqual(alone.upK);
      expect(rows(joint.upV, 8, (group * dV) / 2, ((group + 1) * dV) / 2)).toEqual(alone.upV);
    }
  });

  test('one latent for all heads is never worse than one a group of the same width in sum', () => {
    const error = (groups: number) =>
      jointFactors(la, { key, value, dIn: D, moment: secondMoment(), rank: 16, groups }).error;
    expect(error(1)).toBeLessThan(error(2));
    expect(error(2)).toBeLessThan(error(K));
  });

  test('without keys (all pairs kept) it is the factor of the values', () => {
    const none = { weight: new Float32Array(0), dOut: 0 };
    const joint = jointFactors(la, { key: none, value, dIn: D, rank: 8, groups: 2 });
    expect(joint.upK).toHaveLength(0);
    expect(joint.upV).toHaveLength(dV * 4);
    const one = jointFactors(la, { key: none, value, dIn: D, rank: 8 });
    expect(one.upV).toEqual(factorize(la, { ...value, dIn: D, rank: 8 }).up);
  });

  test('rank 0 holds nothing', () => {
    const joint = jointFactors(la, { key, value, dIn: D, rank: 0, groups: 2 });
    expect([joint.down.length, joint.upK.length, joint.retainedEnergy]).toEqual([0, 0, 0]);
  });

  test.each([
    [{ groups: 3 }, 'jointFactors: rank must be a multiple of groups=3, got 16.'],
    [{ groups: 16 }, 'jointFactors: dK must be a multiple of groups=16, got 24.'],
    [{ groups: 0 }, 'jointFactors: groups must be an integer of at least 1, got 0.'],
    [{ groups: 0.5 }, 'jointFactors: groups must be an integer of at least 1, got 0.5.'],
    [{ rank: 33 }, 'jointFactors: rank must be an integer from 0 to min(dOut=88, dIn=32), got 33.'],
    [{ rank: 92, groups: 4 }, 'from 0 to min(dOut=22, dIn=32), got 23.'],
    [{ key: { ...key, dOut: 20 } }, 'jointFactors: key must be [20, 32], got 768 values.'],
    [{ value: { ...value, dOut: 65 } }, 'jointFactors: value must be [65, 32], got 2048 values.'],
    [{ moment: new Float64Array(4) }, 'factorize: moment must be [32, 32], got 4 values.'],
  ])('refuses %#', (change, message) => {
    expect(() => jointFactors(la, { key, value, dIn: D, rank: 16, ...change })).toThrow(message);
  });

  function products(joint: ReturnType<typeof jointFactors>, groups: number, rank: number) {
    const width = rank / groups;
    const parts = (up: Float64Array, dOut: number) =>
      Array.from({ length: groups }, (_, g) =>
        times(
          rows(up, width, (g * dOut) / groups, ((g + 1) * dOut) / groups),
          rows(joint.down, D, g * width, (g + 1) * width),
          width,
        ),
      );
    return { keys: concat(...parts(joint.upK, dK)), values: concat(...parts(joint.upV, dV)) };
  }
});

describe('splitFactors', () => {
  test('keys and values are factored apart, and errors add up', () => {
    const moment = secondMoment();
    const split = splitFactors(la, { key, value, dIn: D, moment, rank: 8 });
    const [k, v] = [key, value].map((own) => factorize(la, { ...own, dIn: D, moment, rank: 8 }));
    expect([split.downK, split.upK]).toEqual([k!.down, k!.up]);
    expect([split.downV, split.upV]).toEqual([v!.down, v!.up]);
    const error =
      measuredError(key.weight, times(split.upK, split.downK, 8), moment) +
      measuredError(value.weight, times(split.upV, split.downV, 8), moment);
    expectClose([split.error], [error], { rel: 1e-11 });
  });

  test('at the same width in sum it is never better than a joint latent', () => {
    const moment = secondMoment();
    const split = splitFactors(la, { key, value, dIn: D, moment, rank: 8 });
    const joint = jointFactors(la, { key, value, dIn: D, moment, rank: 16 });
    expect(joint.error).toBeLessThan(split.error);
  });

  test('refuses a rank above the keys', () => {
    expect(() => splitFactors(la, { key, value, dIn: D, rank: 25 })).toThrow(
      'splitFactors: rank must be an integer from 0 to min(dOut=24, dIn=32), got 25.',
    );
  });
});
