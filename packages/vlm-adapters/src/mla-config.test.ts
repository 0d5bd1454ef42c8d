import { describe, expect, test } from 'vitest';
import { parseMlaConfig } from './mla-config';

const counts = { numHiddenLayers: 2, numKeyValueHeads: 4, headDim: 8 };
const parse = (block: Record<string, unknown>) => parseMlaConfig(block, counts);
/** [layers][KV heads][pairs], the same everywhere. */
const everywhere = (pairs: unknown) => [0, 1].map(() => [0, 1, 2, 3].map(() => pairs));
const plain = (block: Record<string, unknown>) =>
  parse(block).ropePairs.map((layer) => layer.map((pairs) => [...pairs]));

test('published blocks give the pairs of their strategy', () => {
  const block = { partial_rope_version: 'high', rope_dim_for_mla: 4, low_rank: 2 };
  expect(parse(block).groups).toBe(1);
  expect(plain(block)).toEqual(everywhere([0, 1]));
  expect(plain({ ...block, partial_rope_version: 'low' })).toEqual(everywhere([2, 3]));
  expect(plain({ ...block, partial_rope_version: 'uniform', uniform_start_point: 1 })).toEqual(
    everywhere([1, 3]),
  );
  expect(plain({ ...block, rope_dim_for_mla: 0 })).toEqual(everywhere([]));
});

test('blocks of ours list pairs and groups; layers may keep different numbers', () => {
  const rope_pairs = [
    [
      [0, 3],
      [1, 2],
      [0, 1],
      [2, 3],
    ],
    [[0], [1], [2], [3]],
  ];
  expect(plain({ rope_pairs, partial_rope_version: 'mkl' })).toEqual(rope_pairs);
  expect(parse({ rope_pairs, groups: 2 }).groups).toBe(2);
  expect(plain({ rope_pairs: everywhere([]) })).toEqual(everywhere([]));
});

describe('blocks that do not fit the model are refused', () => {
  const high = { partial_rope_version: 'high', rope_dim_for_mla: 4 };
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['an empty block', {}, /rope_pairs must be present where partial_rope_version is undefined/],
    ['pairs chosen from data, not listed', { ...high, partial_rope_version: 'mkl' }, /is "mkl"/],
    ['keys repeated for query heads', { ...high, is_gqa2mha2mla: true }, /is_gqa2mha2mla must be/],
    ['no rope dims', { partial_rope_version: 'high' }, /rope_dim_for_mla.* integer in 0..8/],
    ['odd rope dims', { ...high, rope_dim_for_mla: 3 }, /ropeDim must be even/],
    ['rope dims beyond the head', { ...high, rope_dim_for_mla: 10 }, /in 0..8/],
    ['huge rope dims', { ...high, rope_dim_for_mla: 2 ** 60 }, /in 0..8/],
    ['rope dims of text', { ...high, rope_dim_for_mla: '4' }, /got.*4/],
    [
      'rope dims that do not divide',
      { ...high, partial_rope_version: 'uniform', rope_dim_for_mla: 6 },
      /to divide headDim/,
    ],
    [
      'a start beyond the step',
      { ...high, partial_rope_version: 'uniform', uniform_start_point: 2 },
      /uniformStart < 2/,
    ],
    ['a start of another type', { ...high, uniform_start_point: [] }, /uniform_start_point/],
    ['no groups', { ...high, groups: 0 }, /groups.* in 1..4/],
    ['more groups than heads', { ...high, groups: 2 ** 53 }, /groups.* in 1..4/],
    ['half a group', { ...high, groups: 1.5 }, /groups.* in 1..4/],
    ['groups of text', { ...high, groups: '2' }, /groups.* in 1..4/],
    [
      'groups that do not divide',
      { ...high, groups: 3 },
      /groups must divide the 4 KV heads, got 3/,
    ],
    ['pairs that are no list', { rope_pairs: 'all' }, /list 2 layers, got "all"/],
    ['pairs of one layer', { rope_pairs: everywhere([0]).slice(1) }, /list 2 layers, got 1/],
    ['pairs of more layers', { rope_pairs: [...everywhere([0]), []] }, /list 2 layers, got 3/],
    ['pairs of other heads', { rope_pairs: [[[0]], [[0]]] }, /list 4 KV heads in layer 0, got 1/],
    ['a layer that is no list', { rope_pairs: [null, null] }, /KV heads in layer 0, got null/],
    [
      'a head that is no list',
      { rope_pairs: everywhere({ length: 1 }) },
      /layer 0, got \{"length":1\}/,
    ],
    [
      'uneven heads',
      { rope_pairs: [[[0], [0], [0], [0, 1]], everywhere([0])[0]] },
      /list 1 pairs for each head of layer 0, got 2/,
    ],
    ['pairs out of order', { rope_pairs: everywhere([1, 0]) }, /ascend within 0..3, got 0 after 1/],
    ['a pair twice', { rope_pairs: everywhere([1, 1]) }, /got 1 after 1/],
    ['a pair beyond the head', { rope_pairs: everywhere([4]) }, /ascend within 0..3, got 4/],
    ['a negative pair', { rope_pairs: everywhere([-1]) }, /got -1/],
    ['half a pair', { rope_pairs: everywhere([0.5]) }, /got 0.5/],
    ['a pair of text', { rope_pairs: everywhere(['0']) }, /got "0"/],
    ['no pair at all', { rope_pairs: everywhere([null]) }, /got null/],
  ])('%s', (_, block, message) => {
    expect(() => parse(block)).toThrow(message);
  });
});
