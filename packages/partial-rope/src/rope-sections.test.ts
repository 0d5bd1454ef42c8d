import { expectClose, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { greedyScores } from './greedy-scores';
import { addMklScores } from './mkl-scores';
import { emptyMklSums, mklScores } from './mkl-sums';
import { pairsFromRanks, ranksFromScores } from './ranks';
import { type RopeSection, ropeSections } from './rope-sections';
import { selectPairs } from './select-pairs';
import { sampleOf } from './testing/sample';

const qwen = { headDim: 128, mropeSection: [16, 24, 24] };
const kept = (sections: readonly RopeSection[]) => sections.map((section) => section.kept);

describe('ropeSections', () => {
  test('lays sections out one after the other', () => {
    expect(ropeSections([4, 12, 0], { ...qwen, ropeDim: 32 })).toEqual([
      { first: 0, size: 16, kept: 4 },
      { first: 16, size: 24, kept: 12 },
      { first: 40, size: 24, kept: 0 },
    ]);
  });

  test('proportional quotas are within one of their share, and keep all that is asked for', () => {
    expect(kept(ropeSections('proportional', { ...qwen, ropeDim: 32 }))).toEqual([4, 6, 6]);
    for (let ropeDim = 0; ropeDim <= 128; ropeDim += 2) {
      const quotas = kept(ropeSections('proportional', { ...qwen, ropeDim }));
      expect(quotas.reduce((sum, quota) => sum + quota, 0)).toBe(ropeDim / 2);
      for (const [i, quota] of quotas.entries()) {
        expect(Math.abs(quota - (qwen.mropeSection[i]! * ropeDim) / 128)).toBeLessThan(1);
      }
    }
  });

  test.each([
    [[4, 4], 'quotas must be 3 counts that sum to ropeDim / 2 = 16, got [4,4].'],
    [[4, 4, 4], 'sum to ropeDim / 2 = 16, got [4,4,4].'],
    [[8.5, 7.5, 0], 'must be 3 counts'],
    [[20, -4, 0], 'must be 3 counts'],
    [[Number.NaN, 8, 8], 'must be 3 counts'],
    [[0, 0, 16], undefined],
  ])('quotas %j', (quotas, message) => {
    const run = () => ropeSections(quotas, { ...qwen, ropeDim: 32 });
    if (message === undefined) expect(kept(run())).toEqual(quotas);
    else expect(run).toThrow(message);
  });

  test('a section smaller than its quota, and sections of another head, are refused', () => {
    expect(() => ropeSections([17, 0, 0], { ...qwen, ropeDim: 34 })).toThrow(
      "ropeSections: quota 0 must be at most its section's 16 pairs, got 17.",
    );
    expect(() => ropeSections('proportional', { ...qwen, headDim: 64, ropeDim: 32 })).toThrow(
      'mropeSection must be counts that sum to headDim / 2 = 32, got [16,24,24].',
    );
  });
});

describe('selections by section', () => {
  const head = { headDim: 128, ropeDim: 32, numKeyValueHeads: 2 };
  const sections = ropeSections([4, 6, 6], { ...qwen, ropeDim: 32 });
  const whole = [{ first: 0, size: 64, kept: 16 }];

  test('high, low and uniform choose in each section', () => {
    const first = (strategy: 'high' | 'low' | 'uniform') =>
      [...selectPairs(strategy, { ...head, sections })[1]!].filter((_, i) => i === 0 || i > 9);
    expect(first('high')).toEqual([0, 40, 41, 42, 43, 44, 45]);
    expect(first('low')).toEqual([12, 58, 59, 60, 61, 62, 63]);
    expect(first('uniform')).toEqual([0, 40, 44, 48, 52, 56, 60]);
  });

  test('scores choose the highest of each section', () => {
    const scores = Float64Array.from(gaussian(128, 3));
    const pairs = pairsFromRanks(ranksFromScores(scores, 2), { ...head, sections });
    for (const [keyHead, own] of pairs.entries()) {
      for (const section of sections) {
        const inside = Array.from({ length: section.size }, (_, i) => section.first + i);
        const best = inside
          .sort((a, b) => scores[keyHead * 64 + b]! - scores[keyHead * 64 + a]!)
          .slice(0, section.kept);
        expect([...own].filter((pair) => inside.includes(pair))).toEqual(
          best.sort((a, b) => a - b),
        );
      }
    }
  });

  test('one section is the whole head', () => {
    const ranks = ranksFromScores(Float64Array.from(gaussian(128, 4)), 2);
    expect(pairsFromRanks(ranks, { ...head, sections: whole })).toEqual(
      pairsFromRanks(ranks, head),
    );
    for (const strategy of ['high', 'low', 'uniform'] as const) {
      expect(selectPairs(strategy, { ...head, sections: whole })).toEqual(
        selectPairs(strategy, head),
      );
    }
  });

  test('sections that do not make up the head, and ranks with equals, are refused', () => {
    const ranks = ranksFromScores(new Float64Array(128), 2);
    const gap = [{ first: 1, size: 63, kept: 16 }];
    for (const run of [
      () => selectPairs('high', { ...head, sections: gap }),
      () => pairsFromRanks(ranks, { ...head, sections: gap }),
      () => pairsFromRanks(ranks, { ...head, sections: [{ first: 0, size: 64, kept: 15 }] }),
    ]) {
      expect(run).toThrow(/sections must make up 64 pairs and keep 16, got \[.*ropeSections\.$/);
    }
    expect(() => pairsFromRanks(new Uint8Array(256), { ...head, sections })).toThrow(
      'head 0 must have 4 pairs ranked first from pair 0 on, got 16 that are.',
    );
    expect(() => selectPairs('uniform', { ...head, sections, uniformStart: 4 })).toThrow(
      'uniformStart < 4',
    );
  });
});

describe('M-RoPE', () => {
  const counts = { numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 12 };
  const at = { rowColumn: [3, 7, 8], keys: 9, seed: 11 };
  const scoresBy = (position: (column: number, axis: number) => number) => {
    const sample = sampleOf(counts, {
      ...at,
      angle: (column, pair) => position(column, Math.floor(pair / 2)) * 3 ** -pair,
    });
    const sums = emptyMklSums(counts);
    addMklScores(sums, sample, counts);
    return { mkl: mklScores(sums), greedy: greedyScores([sample], counts) };
  };

  test('with equal axes is plain RoPE', () => {
    const sums = emptyMklSums(counts);
    const plain = sampleOf(counts, at);
    addMklScores(sums, plain, counts);
    expect(scoresBy((column) => column)).toEqual({
      mkl: mklScores(sums),
      greedy: greedyScores([plain], counts),
    });
  });

  test('an axis along which all tokens stand at one place scores nothing', () => {
    // A row of patches: time and height stand still.
    const { mkl, greedy } = scoresBy((column, axis) => (axis === 2 ? column : 5));
    expectClose(mkl.subarray(0, 4), new Float64Array(4), { abs: 1e-14 });
    expectClose(greedy.subarray(0, 4), new Float64Array(4), { abs: 1e-6 });
    for (const scores of [mkl, greedy])
      expect(Math.min(scores[4]!, scores[5]!)).toBeGreaterThan(1e-6);
  });
});
