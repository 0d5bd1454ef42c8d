import { expectClose } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import type { AttentionSample, HeadCounts } from './attention-sample';
import { greedyScores } from './greedy-scores';
import { ranksFromScores } from './ranks';
import { sampleOf, scoresOf } from './testing/sample';

const counts = { numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 12 };
const half = 6;
const samples = [
  sampleOf(counts, { rowColumn: [0, 3, 8, 11], keys: 12, seed: 3 }),
  sampleOf(counts, { rowColumn: [2, 6], keys: 7, seed: 5 }),
];

/** E|s_partial - s_full| of a KV head with these pairs rotated, every score computed anew. */
function errorOf(
  all: readonly AttentionSample[],
  shape: HeadCounts,
  keyHead: number,
  kept: number[],
) {
  const group = shape.numAttentionHeads / shape.numKeyValueHeads;
  const errors: number[] = [];
  for (const sample of all) {
    for (let head = keyHead * group; head < (keyHead + 1) * group; head++) {
      for (const row of sample.rowColumn.keys()) {
        const full = scoresOf(sample, shape, head, row, () => 'turned');
        const partial = scoresOf(sample, shape, head, row, (pair) =>
          kept.includes(pair) ? 'turned' : 'plain',
        );
        for (const [j, score] of full) errors.push(Math.abs(partial.get(j)! - score));
      }
    }
  }
  return errors.reduce((sum, error) => sum + error, 0) / errors.length;
}

/** Greedy selection by its definition. */
function naive(all: readonly AttentionSample[], shape: HeadCounts, keyHead: number) {
  const order: number[] = [];
  const errors: number[] = [];
  while (order.length < shape.headDim / 2) {
    errors.push(errorOf(all, shape, keyHead, order));
    const left = Array.from({ length: shape.headDim / 2 }, (_, pair) => pair).filter(
      (pair) => !order.includes(pair),
    );
    const after = left.map((pair) => errorOf(all, shape, keyHead, [...order, pair]));
    order.push(left[after.indexOf(Math.min(...after))]!);
  }
  return { order, errors };
}

const orderOf = (scores: Float64Array) =>
  [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);

test('the order and the errors are those of a naive re-evaluation at each step', () => {
  const scores = greedyScores(samples, counts);
  for (const keyHead of [0, 1]) {
    const own = scores.subarray(keyHead * half, (keyHead + 1) * half);
    const { order, errors } = naive(samples, counts, keyHead);
    expect(orderOf(own)).toEqual(order);
    const falling = errors.map((_, i) => Math.max(...errors.slice(i)));
    // Changes of scores are kept in float32.
    expectClose(
      order.map((pair) => own[pair]!),
      falling,
      { rel: 1e-5 },
    );
  }
});

test('the score of the first pair is the error with nothing rotated', () => {
  const scores = greedyScores(samples, counts);
  for (const keyHead of [0, 1]) {
    const highest = Math.max(...scores.subarray(keyHead * half, (keyHead + 1) * half));
    expectClose([highest], [errorOf(samples, counts, keyHead, [])], { rel: 1e-5 });
  }
});

test('scores fall in the order of the choice even where a step makes the error larger', () => {
  // Pairs 0 and 1 undo each other's turn: either alone is worse than none, at the last step but one.
  const shape = { numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 6 };
  const turns = [1, 1, 0.3];
  const sample: AttentionSample = {
    query: Float64Array.of(1, 1, 1, 0, 0, 0),
    key: Float64Array.of(5, -4.9, 1, 0, 0, 0),
    queryCos: Float64Array.of(1, 1, 1),
    querySin: new Float64Array(3),
    keyCos: Float64Array.from(turns, Math.cos),
    keySin: Float64Array.from(turns, Math.sin),
    rowColumn: Int32Array.of(0),
    rowIsVision: Uint8Array.of(0),
  };
  const { order, errors } = naive([sample], shape, 0);
  expect(Math.max(...errors)).toBeGreaterThan(1.5 * errors[0]!);
  const scores = greedyScores([sample], shape);
  expect(orderOf(scores)).toEqual(order);
  expect(new Set(scores).size).toBe(3);
  const ranks = ranksFromScores(scores, 1);
  expect(order.map((pair) => ranks[pair])).toEqual([0, 1, 2]);
});

test('pairs that stand still come last, as their turn changes nothing', () => {
  const still = sampleOf(counts, {
    rowColumn: [4, 9],
    keys: 10,
    seed: 7,
    angle: (column, pair) => (pair === 1 || pair === 4 ? 0 : column),
  });
  const scores = greedyScores([still], counts);
  for (const keyHead of [0, 1]) {
    const own = scores.subarray(keyHead * half, (keyHead + 1) * half);
    expect(orderOf(own).slice(4)).toEqual([1, 4]);
    expect([own[1], own[4]].every((score) => score! < 1e-6)).toBe(true);
  }
});

test('of a sample as many rows are taken as asked for, the last among them', () => {
  const [sample] = [samples[0]!];
  const last = sampleOf(counts, { rowColumn: [11], keys: 12, seed: 3 });
  const at = (head: number) => (head * 4 + 3) * 12;
  const query = [0, 1, 2, 3].flatMap((head) =>
    Array.from(sample.query).slice(at(head), at(head) + 12),
  );
  expect(greedyScores([sample], counts, { maxRows: 1 })).toEqual(
    greedyScores([{ ...last, query }], counts),
  );
});

test('one KV head alone has the scores that it has among all', () => {
  const all = greedyScores(samples, counts);
  const apart = [0, 1].map((keyHead) => greedyScores(samples, counts, { keyHead }));
  expect([...apart[0]!, ...apart[1]!]).toEqual([...all]);
  expect(() => greedyScores(samples, counts, { keyHead: 2 })).toThrow(
    'greedyScores: keyHead must be one of 2 KV heads, got 2.',
  );
});

test('padding may hold NaN; a key that counts may not', () => {
  const dirty = (column: number) => ({
    ...samples[0]!,
    key: Float64Array.from(samples[0]!.key, (value, i) =>
      Math.floor(i / 12) % 12 === column ? Number.NaN : value,
    ),
  });
  expect(greedyScores([dirty(1)], counts)).toEqual(greedyScores([samples[0]!], counts));
  expect(() => greedyScores([dirty(2)], counts)).toThrow(
    'greedyScores: scores must be finite, got NaN in KV head 0.',
  );
});

test('nothing seen, and lengths that do not fit, are refused', () => {
  expect(() => greedyScores([], counts)).toThrow('greedyScores: expected rows, got none.');
  const blind = { ...samples[0]!, keyMask: new Uint8Array(12) };
  expect(() => greedyScores([blind], counts)).toThrow('greedyScores: expected rows, got none.');
  const short = { ...samples[0]!, query: new Float32Array(3) };
  expect(() => greedyScores([short], counts)).toThrow('greedyScores: query must hold');
});
