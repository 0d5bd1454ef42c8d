import { expectClose, gaussian } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { addNorm2, emptyNorm2Sums, norm2Scores } from './norm2-scores';
import { ranksFromScores } from './ranks';

const counts = { numAttentionHeads: 6, numKeyValueHeads: 2, headDim: 8 };
const [ROWS, KEYS] = [3, 5];
const query = gaussian(6 * ROWS * 8, 1);
const key = gaussian(2 * KEYS * 8, 2);
const keyMask = Uint8Array.of(1, 0, 1, 1, 1);

/** Mean length of a pair of a head over the tokens that count. */
function meanLength(
  values: Float32Array,
  tokens: readonly number[],
  of: number,
  at: [number, number],
) {
  const [head, pair] = at;
  const lengths = tokens.map((token) => {
    const start = (head * of + token) * 8 + pair;
    return Math.hypot(values[start]!, values[start + 4]!);
  });
  return lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
}

test('a score is the sum over a group of products of mean lengths', () => {
  const sums = emptyNorm2Sums(counts);
  addNorm2(sums, { query, key, keyMask });
  const expected = [0, 1].flatMap((keyHead) =>
    [0, 1, 2, 3].map((pair) => {
      const own = [0, 1, 2].map((i) => meanLength(query, [0, 1, 2], ROWS, [3 * keyHead + i, pair]));
      const length = meanLength(key, [0, 2, 3, 4], KEYS, [keyHead, pair]);
      return own.reduce((sum, q) => sum + q * length, 0);
    }),
  );
  expectClose(norm2Scores(sums), expected, { rel: 1e-13 });
});

test('samples of any sizes add up to a mean over all their tokens', () => {
  const rows = (values: Float32Array, of: number, tokens: readonly number[]) =>
    Float32Array.from(
      Array.from({ length: values.length / 8 / of }, (_, head) =>
        tokens.flatMap((t) => [...values.subarray((head * of + t) * 8, (head * of + t + 1) * 8)]),
      ).flat(),
    );
  const apart = emptyNorm2Sums(counts);
  addNorm2(apart, { query: rows(query, ROWS, [0]), key: rows(key, KEYS, [0, 2, 3]) });
  addNorm2(apart, { query: rows(query, ROWS, [1, 2]), key: rows(key, KEYS, [4]) });
  const together = emptyNorm2Sums(counts);
  addNorm2(together, { query, key, keyMask });
  expectClose(norm2Scores(apart), norm2Scores(together), { rel: 1e-14 });
});

test('long pairs come first, wherever they turn, and padding may hold NaN', () => {
  const long = key.map((value, i) => (i % 4 === 2 ? 50 * value : value));
  const dirty = long.map((value, i) => (Math.floor(i / 8) % KEYS === 1 ? Number.NaN : value));
  const sums = emptyNorm2Sums(counts);
  addNorm2(sums, { query, key: dirty, keyMask });
  const ranks = ranksFromScores(norm2Scores(sums), 2);
  expect([ranks[2], ranks[10]]).toEqual([0, 0]);
});

test('what does not fit, and what saw nothing, is refused', () => {
  const add = (sample: Parameters<typeof addNorm2>[1], change = {}) =>
    addNorm2(emptyNorm2Sums({ ...counts, ...change }), sample);
  expect(() => add({ query, key: key.slice(1) })).toThrow(
    'addNorm2: query must hold [6, L, 8], key [2, T, 8] and keyMask [T] values, got 144, 79 and undefined.',
  );
  expect(() => add({ query: query.slice(1), key })).toThrow('got 143, 80 and undefined');
  expect(() => add({ query, key, keyMask: new Uint8Array(4) })).toThrow('got 144, 80 and 4');
  expect(() => add({ query, key }, { numKeyValueHeads: 4 })).toThrow('KV heads divide the query');
  expect(() => norm2Scores(emptyNorm2Sums(counts))).toThrow(
    'norm2Scores: expected queries and keys, got 0 and 0.',
  );
});
