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
  test('the highest score comes first, equals by lower index', () => {
    const found = ranksFromScores(Float64Array.of(0, 3, 3, 9), 1);
    expect([...found]).toEqual([3, 1, 2, 0, 3, 1, 2, 0]);
  });

  test('query heads follow their KV head', () => {
    const pairs = [Int32Array.of(0), Int32Array.of(1)];
    const { ropeRows } = splitRows(pairs, { numHeads: 4, numKeyValueHeads: 2, headDim: 4 });
    expect([...ropeRows]).toEqual([0, 2, 4, 6, 9, 11, 13, 15]);
  });

  test.each([
    ['halves that differ', [0, 1, 1, 0], 'both dims of a pair'],
    ['no permutation', [0, 0, 0, 0], 'must have 1 pairs ranked'],
  ])('refuses %s', (_, values, message) => {
    const options = { headDim: 4, numKeyValueHeads: 1, ropeDim: 2 };
    expect(() => pairsFromRanks(Uint8Array.from(values), options)).toThrow(message);
  });

  test('refuses NaN scores', () => {
    expect(() => ranksFromScores(Float64Array.of(1, Number.NaN), 1)).toThrow('got NaN');
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
