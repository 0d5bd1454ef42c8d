/** Factors of a layer's keys and values with a latent each. */
import { checkRank } from './check-rank';
import { errorOf, type FactorError } from './error-of';
import { type FactorizeInput, type Factors, factorize } from './factorize';
import { checkKeyValue, type KeyValueInput } from './key-value-input';
import type { LinearAlgebra } from './linear-algebra';

/** What `splitFactors` takes: keys and values with a latent each. */
export interface SplitInput extends KeyValueInput {
  /** Of each latent. */
  rank: number;
}

export interface SplitFactors extends FactorError {
  /** [rank, dIn] and [dK, rank]. */
  downK: Float64Array;
  upK: Float64Array;
  /** [rank, dIn] and [dV, rank]. */
  downV: Float64Array;
  upV: Float64Array;
  /** Eigenvalues of the keys and of the values, descending. */
  eigenvalues: Float64Array[];
  /** Where a mean was given: what to add to the keys, [dK], and to the values, [dV]. */
  offsetK?: Float64Array;
  offsetV?: Float64Array;
}

/**
 * Factor keys and values apart, into a latent of `rank` each.
 * @throws RangeError where rank exceeds dK, dV or dIn.
 */
export function splitFactors(la: LinearAlgebra, input: SplitInput): SplitFactors {
  const [k, v] = partsOf(input).map((part) => factorize(la, part));
  return joined(k!, v!);
}

/** The same with a factorisation of the caller's, of keys and of values: the subspace route, or a worker. */
export async function splitFactorsBy(
  run: (part: FactorizeInput) => Factors | Promise<Factors>,
  input: SplitInput,
): Promise<SplitFactors> {
  const [k, v] = await Promise.all(partsOf(input).map(run));
  return joined(k!, v!);
}

function partsOf(input: SplitInput): FactorizeInput[] {
  const { key, value, dIn, moment, mean, rank } = input;
  checkKeyValue('splitFactors', input);
  checkRank('splitFactors', rank, Math.min(key.dOut, value.dOut), dIn);
  return [key, value].map((side) => ({ ...side, dIn, moment, mean, rank }));
}

function joined(k: Factors, v: Factors): SplitFactors {
  return {
    downK: k.down,
    upK: k.up,
    downV: v.down,
    upV: v.up,
    eigenvalues: [k.eigenvalues, v.eigenvalues],
    ...(k.offset && { offsetK: k.offset, offsetV: v.offset }),
    ...errorOf([k, v]),
  };
}
