import { describe, expect, test } from 'vitest';
import { allocateRanks, type RankCurve } from './allocate-ranks';

/** Uniform in [0, 1) from a seed. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Errors that a descending spectrum leaves at ranks 0..n. */
function tails(spectrum: readonly number[]): number[] {
  return Array.from({ length: spectrum.length + 1 }, (_, rank) =>
    spectrum.slice(rank).reduceRight((sum, value) => sum + value, 0),
  );
}

function randomCurves(seed: number, costs: () => number): RankCurve[] {
  const random = uniform(seed);
  return Array.from({ length: 2 + Math.floor(random() * 2) }, () => {
    const size = 3 + Math.floor(random() * 3);
    const spectrum = Array.from({ length: size }, () => random() ** 3).sort((a, b) => b - a);
    const cost = costs();
    return {
      errors: tails(spectrum),
      weight: 0.25 + random(),
      bytes: Array.from({ length: size + 1 }, (_, rank) => rank * cost),
    };
  });
}

/** The least error of all allocations that fit. */
function bruteForce(curves: readonly RankCurve[], budget: number, floor: number): number {
  const [first, ...rest] = curves;
  if (!first) return 0;
  let best = Number.POSITIVE_INFINITY;
  for (let rank = floor; rank < first.errors.length; rank++) {
    const left = budget - first.bytes[rank]!;
    if (left < 0) break;
    best = Math.min(best, first.weight! * first.errors[rank]! + bruteForce(rest, left, floor));
  }
  return best;
}

const seeds = Array.from({ length: 60 }, (_, seed) => seed + 1);

describe('allocateRanks', () => {
  test('predicts the least error of all allocations, where a dim costs the same everywhere', () => {
    for (const seed of seeds) {
      const curves = randomCurves(seed, () => 4);
      for (const floor of [0, 1]) {
        for (let budget = 4 * floor * curves.length; budget <= 60; budget += 3) {
          const { ranks, bytes, error } = allocateRanks(curves, { budget, floor });
          expect(bytes).toBeLessThanOrEqual(budget);
          expect(Math.min(...ranks)).toBeGreaterThanOrEqual(floor);
          expect(error).toBeCloseTo(bruteForce(curves, budget, floor), 12);
        }
      }
    }
  });

  test('is within one widening of the least error where costs differ', () => {
    for (const seed of seeds) {
      const random = uniform(seed + 1000);
      const curves = randomCurves(seed, () => 2 + Math.floor(random() * 4));
      const gains = curves.flatMap(({ errors, weight }) =>
        Array.from(errors)
          .slice(1)
          .map((error, i) => weight! * (errors[i]! - error)),
      );
      for (let budget = 20; budget <= 60; budget += 3) {
        const { bytes, error } = allocateRanks(curves, { budget });
        expect(bytes).toBeLessThanOrEqual(budget);
        const least = bruteForce(curves, budget, 1);
        expect(error).toBeGreaterThanOrEqual(least - 1e-12);
        expect(error).toBeLessThanOrEqual(least + Math.max(...gains));
      }
    }
  });

  test('more bytes never make a rank smaller, nor the error larger', () => {
    for (const seed of seeds) {
      const curves = randomCurves(seed, () => 4);
      let last = allocateRanks(curves, { budget: 4 * curves.length });
      for (let budget = 4 * curves.length; budget <= 80; budget++) {
        const next = allocateRanks(curves, { budget });
        expect(next.error).toBeLessThanOrEqual(last.error);
        for (const [i, rank] of next.ranks.entries()) {
          expect(rank).toBeGreaterThanOrEqual(last.ranks[i]!);
        }
        last = next;
      }
      expect(last.error).toBe(0);
    }
  });

  const steep = { errors: tails([8, 4, 2, 1]), bytes: [0, 2, 4, 6, 8] };
  const flat = { errors: tails([2, 2, 2, 2]), bytes: [0, 2, 4, 6, 8] };

  test('latents that are alike get one rank', () => {
    expect(allocateRanks([flat, flat, flat], { budget: 13 })).toEqual({
      ranks: [2, 2, 2],
      bytes: 12,
      error: 12,
    });
  });

  test('keeps to floor, cap and step', () => {
    const ranks = (options: Partial<Parameters<typeof allocateRanks>[1]>) =>
      allocateRanks([steep, flat], { budget: 10, ...options }).ranks;
    expect(ranks({ floor: 0 })).toEqual([3, 2]);
    expect(ranks({ floor: 0, cap: 2, budget: 16 })).toEqual([2, 2]);
    expect(ranks({ floor: 0, step: 2, budget: 8 })).toEqual([2, 2]);
    expect(ranks({ floor: 2 })).toEqual([3, 2]);
  });

  test('an error that counts twice gets the bytes of two', () => {
    const weigh = (weight: number) =>
      allocateRanks([{ ...steep, weight }, flat], { budget: 8, floor: 0 }).ranks;
    expect(weigh(0.1)).toEqual([0, 4]);
    expect(weigh(1)).toEqual([2, 2]);
    expect(weigh(4)).toEqual([4, 0]);
  });

  test('takes dims that a word holds anyhow, and none that gain nothing', () => {
    const words = { errors: [4, 3, 2, 1], bytes: [0, 4, 4, 8] };
    expect(allocateRanks([words], { budget: 4 }).ranks).toEqual([2]);
    const spent = { errors: [4, 0, 0, 0], bytes: [0, 4, 8, 12] };
    expect(allocateRanks([spent], { budget: 12 })).toEqual({ ranks: [1], bytes: 4, error: 0 });
  });

  test('uniform is returned where it predicts no more', () => {
    // One step down costs more than it brings until the next: not convex, so that greedy errs.
    const late = { errors: [10, 10, 0], bytes: [0, 2, 4] };
    const early = { errors: [10, 4, 3.9], bytes: [0, 2, 4] };
    const { ranks } = allocateRanks([early, late], { budget: 8, floor: 0 });
    expect(ranks).toEqual([2, 2]);
  });

  test.each<[string, RankCurve[], Partial<Parameters<typeof allocateRanks>[1]>, RegExp]>([
    [
      'too few bytes',
      [steep, flat],
      { budget: 3 },
      /budget must be at least 4 bytes for rank 1, got 3/,
    ],
    ['a budget', [steep], { budget: Number.NaN }, /budget=NaN/],
    ['a step', [steep], { step: 0 }, /step=0/],
    ['a floor', [steep], { floor: 0.5 }, /floor=0.5/],
    ['a cap', [steep], { cap: 0 }, /cap=0/],
    ['short errors', [{ ...steep, errors: [1] }], {}, /must go to rank 1 .* got 1 and 5 values/],
    ['short bytes', [{ ...steep, bytes: [0, 1] }], {}, /got 5 and 2 values in curve 0/],
    ['an error', [{ ...steep, errors: [2, Number.NaN] }], {}, /got NaN in curve 0/],
    ['a weight', [flat, { ...steep, weight: -1 }], {}, /got -1 in curve 1/],
  ])('%s out of range is a RangeError', (_, curves, options, message) => {
    const run = () => allocateRanks(curves, { budget: 100, ...options });
    expect(run).toThrow(RangeError);
    expect(run).toThrow(message);
  });
});
