export { applyUnrotation } from './apply-unrotation';
export type { AttentionSample, HeadCounts } from './attention-sample';
export { addMklScores, type MklOptions } from './mkl-scores';
export { emptyMklSums, type MklSums, mklScores } from './mkl-sums';
export { type PairsFromRanksOptions, pairsFromRanks, ranksFromScores } from './ranks';
export type { RopePairs } from './rope-pairs';
export { type SelectPairsOptions, selectPairs } from './select-pairs';
export { type SplitRowsOptions, splitRows } from './split-rows';
export {
  addUnrotation,
  emptyUnrotationSums,
  solveUnrotation,
  type Unrotation,
  type UnrotationSums,
} from './unrotation';
