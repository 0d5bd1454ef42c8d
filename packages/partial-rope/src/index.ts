export { applyUnrotation } from './apply-unrotation';
export type { AttentionSample, HeadCounts } from './attention-sample';
export { type GreedyOptions, greedyScores } from './greedy-scores';
export { addMklScores, type MklOptions } from './mkl-scores';
export { type EmptyMklSumsOptions, emptyMklSums, type MklSums, mklScores } from './mkl-sums';
export { addNorm2, emptyNorm2Sums, type Norm2Sums, norm2Scores } from './norm2-scores';
export { type PairsFromRanksOptions, pairsFromRanks, ranksFromScores } from './ranks';
export type { RopePairs } from './rope-pairs';
export { type RopeSection, type RopeSectionsOptions, ropeSections } from './rope-sections';
export { type SelectPairsOptions, selectPairs } from './select-pairs';
export { type SplitRowsOptions, splitRows } from './split-rows';
export {
  addUnrotation,
  emptyUnrotationSums,
  solveUnrotation,
  type Unrotation,
  type UnrotationSums,
} from './unrotation';
