import { expect, test } from 'vitest';
import { surelyLikeliest } from './surely-likeliest';

const scores = (...nlls: number[]) => nlls.map((nll) => ({ nll }));

test.each([
  ['none was asked', [], 0],
  ['one was asked', [scores(1, 2)], 0],
  ['another is likelier at every question', [scores(1, 2, 3), scores(0.9, 1.8, 2.9)], 1],
  ['another is likelier at one question of many', [scores(1, 1, 1, 9), scores(1, 1, 1, 1)], 0],
  ['another is less likely', [scores(1, 2, 3), scores(2, 3, 4)], 0],
  ['the last beats the second', [scores(3, 4), scores(2, 3), scores(1, 2)], 2],
  ['all are alike', [scores(1, 2), scores(1, 2)], 0],
])('where %s', (_, asked, expected) => {
  expect(surelyLikeliest(asked)).toBe(expected);
});
