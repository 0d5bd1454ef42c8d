/** Pairs chosen by scores: what a report says they were chosen by, and what a rank file keeps. */
import { encodeRankFile, memorySource, readRankFile } from '@mha2mla/checkpoint';
import { describeBackends } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { rankFileOf } from './rank-file-of';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const source = await openTinyLlava({ bias: true });
const calibration = [tinyInputs(1), tinyInputs(2)];
const convert = (options: ConvertRunOptions) =>
  convertModel(source, memoryOutput(), { calibration, ropeDim: 4, factor: 'none', ...options });

const STRATEGIES: [string, ConvertRunOptions][] = [
  ['mkl', {}],
  ['mkl, zero', { mklVariant: 'zero' }],
  ['mkl, keys', { mklSplit: 'keys' }],
  ['mkl, vision', { visionWeight: 1 }],
  ['norm2', { strategy: 'norm2' }],
  ['greedy', { strategy: 'greedy' }],
];

const pairsOf = ({ ropePairs }: { ropePairs: number[][] }) => ropePairs;

describeBackends('pairs chosen by scores', () => {
  test.each(STRATEGIES)(
    '%s: a report has the scores, and the pairs are the highest',
    async (_, of) => {
      const report = await convert(of);
      expect(report.layers).toHaveLength(2);
      for (const { pairScores, ropePairs } of report.layers) {
        expect(pairScores!.map((own) => own.length)).toEqual([4, 4]);
        for (const [head, scores] of pairScores!.entries()) {
          const order = [0, 1, 2, 3].sort((a, b) => scores[b]! - scores[a]! || a - b);
          expect(ropePairs[head]).toEqual(order.slice(0, 2).sort());
          expect(scores.every((score) => score > 0)).toBe(true);
          expect(scores).toEqual(scores.map((score) => Number(score.toPrecision(6))));
        }
      }
    },
  );

  test('each has scores of its own', async () => {
    const all = await Promise.all(STRATEGIES.map(([, of]) => convert(of)));
    const distinct = new Set(all.map(({ layers }) => JSON.stringify(layers[0]!.pairScores)));
    expect(distinct.size).toBe(STRATEGIES.length);
  });

  test('pairs that need no scores have none', async () => {
    const { layers, mropeSection } = await convert({ strategy: 'low', unrotate: 'fitted' });
    expect(layers.map(({ pairScores }) => pairScores)).toEqual([undefined, undefined]);
    expect(mropeSection).toBeUndefined();
  });

  test('the rank file of a conversion makes the same choice, at other widths too', async () => {
    const { layers } = await convert({ strategy: 'greedy' });
    const bytes = encodeRankFile(rankFileOf(layers, 8));
    const { ranks } = await readRankFile(memorySource(bytes));
    for (const ropeDim of [2, 4, 6]) {
      const given = await convert({ ranks, ropeDim, unrotate: 'plain', propagate: 'original' });
      const scored = await convert({ strategy: 'greedy', ropeDim, propagate: 'original' });
      // The first layer's input depends on no choice.
      expect(given.layers[0]!.ropePairs).toEqual(scored.layers[0]!.ropePairs);
      if (ropeDim === 4) expect(given.layers.map(pairsOf)).toEqual(layers.map(pairsOf));
    }
  });
});
