import { fixture, readSafetensors } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { pairsFromRanks, ranksFromScores } from './ranks';
import type { RopePairs } from './rope-pairs';
import { selectPairs } from './select-pairs';
import { splitRows } from './split-rows';

const golden = readSafetensors(fixture('fixtures/hf/llava/mha2mla/rope_idx.safetensors'));
const ranks = readSafetensors(fixture('fixtures/hf/llava/mha2mla/ranks.safetensors')).get('ranks')!;
const head = { headDim: 32, ropeDim: 16, numKeyValueHeads: 4 };

function expectGolden(version: string, layer: number, pairs: RopePairs) {
  const { ropeRows, nopeRows } = splitRows(pairs, { ...head, numHeads: 4 });
  expect(ropeRows).toEqual(golden.get(`${version}.q_idx.${layer}`)!.data);
  expect(ropeRows).toEqual(golden.get(`${version}.k_idx.${layer}`)!.data);
  expect([...ropeRows, ...nopeRows].sort((a, b) => a - b)).toEqual([...Array(128).keys()]);
}

describe('selections equal the reference', () => {
  test.each(['high', 'low', 'uniform'] as const)('%s', (strategy) => {
    for (let layer = 0; layer < 4; layer++)
      expectGolden(strategy, layer, selectPairs(strategy, head));
  });

  test('given rank files', () => {
    for (let layer = 0; layer < 4; layer++) {
      expectGolden(
        'mkl',
        layer,
        pairsFromRanks(ranks.data.slice(layer * 128, (layer + 1) * 128), head),
      );
    }
  });
});

describe('ranks', () => {
  test('a rank file comes back from scores that fall with its ranks', () => {
    for (let layer = 0; layer < 4; layer++) {
      const own = Uint8Array.from(ranks.data.subarray(layer * 128, (layer + 1) * 128));
      // One half of each head, as both are alike.
      const scores = Float64Array.from(
        own.filter((_, i) => i % 32 < 16),
        (rank) => 1 / (1 + rank),
      );
      expect(ranksFromScores(scores, 4)).toEqual(own);
    }
  });

  test('ropeDim 0 keeps none, headDim all', () => {
    const own = { headDim: 32, numKeyValueHeads: 4 };
    const layer = ranks.data.subarray(0, 128);
    expect(pairsFromRanks(layer, { ...own, ropeDim: 0 })[3]).toHaveLength(0);
    expect(pairsFromRanks(layer, { ...own, ropeDim: 32 })[3]).toHaveLength(16);
  });

  test('the highest score comes first, equals by lower index', () => {
    const found = ranksFromScores(Float64Array.of(0, 3, 3, 9), 1);
    expect([...found]).toEqual([3, 1, 2, 0, 3, 1, 2, 0]);
  });

  test.each([
    ['halves that differ', [0, 1, 1, 0], 'both dims of a pair'],
    ['no permutation', [0, 0, 0, 0], 'must have 1 pairs ranked'],
  ])('refuses %s', (_, values, message) => {
    const options = { headDim: 4, numKeyValueHeads: 1, ropeDim: 2 };
    expect(() => pairsFromRanks(Uint8Array.from(values), options)).toThrow(message);
  });

  test('refuses ranks of another shape', () => {
    const options = { headDim: 4, numKeyValueHeads: 2, ropeDim: 2 };
    expect(() => pairsFromRanks(new Uint8Array(4), options)).toThrow(
      'pairsFromRanks: ranks must be [2, 4], got 4 values.',
    );
  });

  test('refuses NaN scores, and more pairs than a byte can rank', () => {
    expect(() => ranksFromScores(Float64Array.of(1, Number.NaN), 1)).toThrow('got NaN');
    expect(() => ranksFromScores(new Float64Array(257), 1)).toThrow(
      'ranksFromScores: scores must be [1, at most 256 pairs], got 257 values.',
    );
    expect(ranksFromScores(new Float64Array(256), 1)[255]).toBe(255);
  });
});

describe('splitRows', () => {
  test('consecutive query heads follow their KV head, each KV head its own choice', () => {
    // 6 query heads, 3 KV heads, 2 pairs a head: head h keeps pair 0, 1, 0 of its KV head.
    const pairs = [[0], [1], [0]].map((own) => Int32Array.from(own));
    const own = { numKeyValueHeads: 3, headDim: 4 };
    const { ropeRows, nopeRows } = splitRows(pairs, { ...own, numHeads: 6 });
    const offsets = [0, 0, 1, 1, 0, 0]; // of a query head's first kept row
    expect([...ropeRows]).toEqual(offsets.flatMap((pair, h) => [4 * h + pair, 4 * h + pair + 2]));
    expect([...ropeRows, ...nopeRows].sort((a, b) => a - b)).toEqual([...Array(24).keys()]);
    const keys = splitRows(pairs, { ...own, numHeads: 3 });
    expect([...keys.ropeRows]).toEqual([0, 2, 5, 7, 8, 10]);
  });

  test('keeps none, or all', () => {
    const own = { numHeads: 2, numKeyValueHeads: 1, headDim: 4 };
    expect(splitRows([new Int32Array(0)], own).ropeRows).toHaveLength(0);
    expect(splitRows([Int32Array.of(0, 1)], own).nopeRows).toHaveLength(0);
  });

  test.each([
    [{ numKeyValueHeads: 2 }, 'got 1 entries, numKeyValueHeads=2, numHeads=4.'],
    [{ numKeyValueHeads: 1, numHeads: 1.5 }, 'must divide the heads'],
  ])('refuses %j', (change, message) => {
    const own = { numHeads: 4, numKeyValueHeads: 1, headDim: 4 };
    expect(() => splitRows([Int32Array.of(0)], { ...own, ...change })).toThrow(message);
  });

  test.each([[2], [-1], [1, 1]])('refuses the pairs %j of a head of two', (...pairs) => {
    const own = { numHeads: 1, numKeyValueHeads: 1, headDim: 4 };
    expect(() => splitRows([Int32Array.from(pairs)], own)).toThrow(
      `splitRows: pairs of KV head 0 must be distinct and in [0, 2), got ${pairs[0]}.`,
    );
  });
});

describe('selectPairs', () => {
  test('keeps none, or all', () => {
    expect(selectPairs('high', { ...head, ropeDim: 0 })[0]).toHaveLength(0);
    expect([...selectPairs('uniform', { ...head, ropeDim: 32 })[0]!]).toEqual([
      ...Array(16).keys(),
    ]);
  });

  test.each([
    [{ ropeDim: 7 }, 'ropeDim must be even'],
    [{ ropeDim: 34 }, 'within [0, 32]'],
    [{ ropeDim: 12 }, 'uniform needs ropeDim to divide headDim'],
    [{ uniformStart: 2 }, 'uniformStart < 2'],
  ])('refuses %j', (change, message) => {
    expect(() => selectPairs('uniform', { ...head, ...change })).toThrow(message);
  });
});
