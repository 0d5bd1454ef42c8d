import { expect, test } from 'vitest';
import { batchOfStep } from './batch-of-step';

/** The questions of the first updates, one after another. */
const drawn = (steps: number, options: Parameters<typeof batchOfStep>[1]) =>
  Array.from({ length: steps }, (_, step) => batchOfStep(step, options)).flat();

const sorted = (values: number[]) => [...values].sort((a, b) => a - b);

test('every epoch has each question once, in an order of its own', () => {
  // 7 questions in batches of 3: batches reach over the ends of epochs.
  const options = { count: 7, batchSize: 3, seed: 4 };
  const all = drawn(14, options);
  expect(all).toHaveLength(42);
  const epochs = Array.from({ length: 6 }, (_, i) => all.slice(7 * i, 7 * i + 7));
  for (const epoch of epochs) expect(sorted(epoch)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(new Set(epochs.map(String)).size).toBe(6);
});

test('a batch may be larger than all questions', () => {
  const batch = batchOfStep(0, { count: 2, batchSize: 5, seed: 0 });
  expect(sorted(batch.slice(0, 2))).toEqual([0, 1]);
  expect(sorted(batch.slice(2, 4))).toEqual([0, 1]);
  expect(batchOfStep(3, { count: 1, batchSize: 2, seed: 0 })).toEqual([0, 0]);
});

test('is a function of seed and step alone', () => {
  const options = { count: 100, batchSize: 16, seed: 1 };
  const whole = drawn(20, options);
  // Asked for backwards, between questions for other runs.
  for (let step = 19; step >= 0; step--) {
    batchOfStep(step, { ...options, seed: 9 });
    expect(batchOfStep(step, options)).toEqual(whole.slice(16 * step, 16 * step + 16));
  }
});

test('different seeds give different orders, first epochs and later ones alike', () => {
  const orders = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((seed) => {
    const all = drawn(8, { count: 20, batchSize: 10, seed });
    return [0, 20, 40, 60].map((start) => String(all.slice(start, start + 20)));
  });
  expect(new Set(orders).size).toBe(32);
});
