import { loadLinearAlgebra, SecondMoment } from '@mha2mla/lowrank';
import { expect, test } from 'vitest';
import { momentCondition } from './moment-condition';

const la = await loadLinearAlgebra();

/** A diagonal moment of one token. */
function momentOf(diagonal: number[]): SecondMoment {
  const moment = new SecondMoment(diagonal.length);
  for (const [i, value] of diagonal.entries()) moment.sum[i * (diagonal.length + 1)] = value;
  moment.count = 1;
  return moment;
}

test('directions of equal energy are as many as there are, and well conditioned', () => {
  const { effectiveRank, condition } = momentCondition(la, momentOf([3, 3, 3, 3]))!;
  expect(effectiveRank).toBeCloseTo(4, 12);
  expect(condition).toBeCloseTo(1, 12);
});

test('the condition is the ratio of the eigenvalues, whatever the scale', () => {
  for (const scale of [1e-20, 1, 1e20]) {
    const moment = momentOf([8 * scale, 2 * scale, scale / 2]);
    expect(momentCondition(la, moment)!.condition).toBeCloseTo(16, 9);
  }
});

test('one direction is one, and singular: null, for JSON has no infinity', () => {
  expect(momentCondition(la, momentOf([5, 0, 0]))).toEqual({ effectiveRank: 1, condition: null });
  // Below what products of f32 batches can tell from nothing.
  expect(momentCondition(la, momentOf([1, 1e-9]))!.condition).toBeNull();
});

test('without tokens, or with zeros only, there is nothing to say', () => {
  expect(momentCondition(la, new SecondMoment(3))).toBeUndefined();
  expect(momentCondition(la, momentOf([0, 0]))).toBeUndefined();
});
