import { expect, test } from 'vitest';
import * as api from './index';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'addMklScores',
    'addNorm2',
    'addUnrotation',
    'applyUnrotation',
    'emptyMklSums',
    'emptyNorm2Sums',
    'emptyUnrotationSums',
    'greedyScores',
    'mklScores',
    'norm2Scores',
    'pairsFromRanks',
    'ranksFromScores',
    'ropeSections',
    'selectPairs',
    'solveUnrotation',
    'splitRows',
  ]);
});
