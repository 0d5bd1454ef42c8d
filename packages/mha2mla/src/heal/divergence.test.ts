import { expect, test } from 'vitest';
import { assertNotRunaway, HealingDiverged, RUNAWAY_UPDATES, updatesAbove } from './divergence';

const plan = { batchSize: 8 };
const repeat = (loss: number, count: number) => new Array<number>(count).fill(loss);

test('a loss that stays high is a runaway after 25 updates on end, and not before', () => {
  // The running mean passes 3 with the fourth loss of 9: 6 + 4 * 9 over 10.
  const losses = [...repeat(1, 20), ...repeat(9, 3)];
  expect(updatesAbove(losses, plan)).toBe(1);
  losses.push(...repeat(9, 23));
  expect(updatesAbove(losses, plan)).toBe(24);
  expect(() => assertNotRunaway('healModel', losses, plan)).not.toThrow();
  losses.push(9);
  expect(updatesAbove(losses, plan)).toBe(RUNAWAY_UPDATES);
  expect(() => assertNotRunaway('healModel', losses, plan)).toThrow(HealingDiverged);
  expect(() => assertNotRunaway('healModel', losses, plan)).toThrow(
    'healModel: the loss must not run away, got a mean of 9.00 over the last 10 of 47 updates after 1.00 at first.',
  );
});

test('one that comes back, is noisy, or doubles is none', () => {
  const came = [...repeat(1, 20), ...repeat(9, 24), ...repeat(1, 10)];
  const noisy = Array.from({ length: 200 }, (_, i) => (i % 5 === 2 ? 8 : 1));
  for (const losses of [came, noisy, [1, ...repeat(2, 200)], repeat(0, 100), []]) {
    expect(updatesAbove(losses, plan)).toBe(0);
  }
});

test('with one picture an update the first loss is a mean of eight', () => {
  const losses = [0.1, ...repeat(1, 100)];
  expect(updatesAbove(losses, plan)).toBe(RUNAWAY_UPDATES);
  expect(updatesAbove(losses, { batchSize: 1 })).toBe(0);
});
