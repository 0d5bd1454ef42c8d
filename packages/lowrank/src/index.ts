export { errorOf } from './error-of';
export { type FactorizeInput, type Factors, factorize } from './factorize';
export {
  type JointFactors,
  jointFactors,
  type KeyValueInput,
  type Outputs,
  type SplitFactors,
  splitFactors,
} from './joint-factors';
export { type LinearAlgebra, loadLinearAlgebra } from './linear-algebra';
export { SecondMoment } from './second-moment';
export { withFallback } from './with-fallback';
