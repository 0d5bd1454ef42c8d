import { expectClose } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { spectrumOf } from './spectrum';

const part = (values: number[], width = values.length, more = 0) => ({
  eigenvalues: Float64Array.from(values),
  energy: values.reduce((sum, value) => sum + value, more),
  width,
});

test('tells at each rank the share that is dropped, the full width dropping nothing', () => {
  const { ranks, tail } = spectrumOf([part([4, 3, 2, 1])], 1);
  expect(ranks).toEqual([1, 2, 3, 4]);
  expectClose(tail, [0.6, 0.3, 0.1, 0], { abs: 1e-15 });
});

test('a rank is counted a KV head, and parts add up', () => {
  const { ranks, tail } = spectrumOf([part([4, 3, 2, 1]), part([5, 5, 0, 0, 0])], 2);
  expect(ranks).toEqual([1, 2, 3]);
  expectClose(tail, [3 / 20, 0, 0], { abs: 1e-15 });
});

test('small tails are not lost beside large values', () => {
  const { tail } = spectrumOf([part([1e20, 1, 1])], 1);
  expectClose(tail, [2e-20, 1e-20, 0], { rel: 1e-12 });
});

test('of values that are not all there, what is known is told, and the full width', () => {
  const { ranks, tail } = spectrumOf([part([4, 3], 9, 3)], 1);
  expect(ranks).toEqual([1, 2, 9]);
  expectClose(tail, [0.6, 0.3, 0], { abs: 1e-15 });
});

test.each([1, 64, 65, 100, 224, 4096, 7168])(
  'width %i takes at most 128 ascending ranks',
  (width) => {
    const { ranks, tail } = spectrumOf([part(new Array(width).fill(1))], 1);
    expect(ranks.length).toBeLessThanOrEqual(128);
    expect(ranks.slice(0, 64)).toEqual(
      Array.from({ length: Math.min(64, width) }, (_, i) => i + 1),
    );
    expect(ranks.every((rank, i) => i === 0 || rank > ranks[i - 1]!)).toBe(true);
    expect([ranks.at(-1), tail.at(-1)]).toEqual([width, 0]);
  },
);

test('rounding below zero and nothing at all stay within 0 and 1', () => {
  expect(spectrumOf([part([1, -1e-17])], 1).tail).toEqual([0, 0]);
  expect(spectrumOf([part([0, 0])], 1)).toEqual({ ranks: [1, 2], tail: [0, 0] });
});
