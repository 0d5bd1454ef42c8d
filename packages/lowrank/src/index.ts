export {
  type AllocateOptions,
  allocateRanks,
  type RankAllocation,
  type RankCurve,
} from './allocate-ranks';
export { errorOf, type FactorError } from './error-of';
export { type FactorizeInput, type Factors, factorize } from './factorize';
export { type JointFactors, type JointInput, jointFactors, jointFactorsBy } from './joint-factors';
export type { KeyValueInput, Outputs } from './key-value-input';
export { compileLinearAlgebra, type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
export type { OutputWeights } from './output-scaling';
export { SecondMoment } from './second-moment';
export { type SplitFactors, type SplitInput, splitFactors, splitFactorsBy } from './split-factors';
export { type SubspaceOptions, subspaceFactorize } from './subspace-factorize';
export { truncateFactors } from './truncate-factors';
export { withFallback } from './with-fallback';
