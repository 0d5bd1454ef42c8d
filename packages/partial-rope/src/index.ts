export { addMklScores, type MklOptions, type MklSample } from './mkl-scores';
export { emptyMklSums, type MklSums, mklScores } from './mkl-sums';
export { type PairsFromRanksOptions, pairsFromRanks, ranksFromScores } from './ranks';
export type { RopePairs } from './rope-pairs';
export { type SelectPairsOptions, selectPairs } from './select-pairs';
export { type SplitRowsOptions, splitRows } from './split-rows';
