/**
 * The best rank-R factors of a linear map W for inputs of second moment S, minimising
 * E|W x - up down x|² (activation-aware SVD; the same optimum as SVD-LLM and CARE, but with no
 * inverse, so that any rank of S is fine):
 *
 *   M = W S Wᵀ = U Λ Uᵀ,  up = U_R,  down = U_Rᵀ W,  error = the sum of the dropped eigenvalues.
 *
 * Where W has more outputs than inputs, W = Q T first, and M = T S Tᵀ. Without S, S = I: plain SVD.
 * With a mean μ, S is that of x - μ, and what the factors make of μ itself is put right by a
 * constant: W x ≈ up down x + (W - up down) μ, the best of all affine maps of that rank.
 * With output weights, W is Z W throughout, and up is Z⁻¹ U_R (see `output-scaling.ts`).
 */
import { checkMatrix } from './check-matrix';
import { checkMoment, checkSemidefinite } from './check-moment';
import { checkRank } from './check-rank';
import { errorOf, type FactorError } from './error-of';
import type { LinearAlgebra } from './linear-algebra';
import { type OutputWeights, outputScaling } from './output-scaling';
import { transpose } from './transpose';

/** The map that `factorize` takes apart, and which of its inputs and outputs count. */
export interface FactorizeInput {
  /** W [dOut, dIn], row-major. */
  weight: Float32Array | Float64Array;
  dOut: number;
  dIn: number;
  /** S [dIn, dIn], symmetric, of any rank and scale. Default the identity. */
  moment?: Float64Array;
  /** μ [dIn], where `moment` is of x - μ (see `SecondMoment.centered`). Default 0. */
  mean?: Float64Array;
  /** A: the error that counts is eᵀ A e. Default the identity. */
  outputWeights?: OutputWeights;
  /** R, from 0 to min(dOut, dIn): a wider latent holds no more. */
  rank: number;
}

/** Errors are of what is minimised: with output weights, E eᵀ A e. */
export interface Factors extends FactorError {
  /** R. */
  rank: number;
  /** [dOut, R], the first column holding the most energy; orthonormal without output weights. */
  up: Float64Array;
  /** [R, dIn]. */
  down: Float64Array;
  /**
   * Of M, descending; all min(dOut, dIn) by the exact route, where rounding can leave those of a
   * singular M below 0.
   */
  eigenvalues: Float64Array;
  /** Where a mean was given: the constant (W - up down) μ, [dOut], and the latents' mean, [R]. */
  offset?: Float64Array;
  latentMean?: Float64Array;
}

/** @throws RangeError on lengths that do not fit, values that are not finite, or a rank too high. */
export function factorize(la: LinearAlgebra, input: FactorizeInput): Factors {
  const { dOut, dIn, moment, rank } = input;
  const { weight, scaling } = prepare(la, 'factorize', input);
  const { applyQ, t, rows } = outputBasis(la, weight, dOut, dIn);
  const gram = moment ? la.congruence(t, moment, rows, dIn) : ownGram(la, t, rows, dIn);
  const { values, vectors: kept } = la.eigh(gram, rows, rank); // [R, rows], a row each
  checkSemidefinite('factorize', values);
  const basis = transpose(kept, rank, rows); // [rows, R]
  const scaled = applyQ ? applyQ(basis, rank) : basis;
  const up = scaling ? scaling.undo(scaled, rank) : scaled;
  const down = la.matmul(kept, t, rank, rows, dIn);
  return {
    ...{ rank, up, down, ...constantOf(la, input, up, down) },
    eigenvalues: values,
    ...errorOf([{ energy: sum(values), error: Math.max(0, sum(values.subarray(rank))) }]),
  };
}

/** What the factors make of the mean, and the constant that is missing. */
export function constantOf(
  la: LinearAlgebra,
  { weight, dOut, dIn, mean, rank }: FactorizeInput,
  up: Float64Array,
  down: Float64Array,
): Pick<Factors, 'offset' | 'latentMean'> {
  if (!mean) return {};
  const latentMean = la.matmul(down, mean, rank, dIn, 1);
  const found = la.matmul(up, latentMean, dOut, rank, 1);
  const whole = la.matmul(Float64Array.from(weight), mean, dOut, dIn, 1);
  return { latentMean, offset: whole.map((value, i) => value - found[i]!) };
}

/** Check the input; Z W in float64. */
export function prepare(la: LinearAlgebra, caller: string, input: FactorizeInput) {
  const { dOut, dIn, moment, mean, outputWeights, rank } = input;
  checkMatrix(caller, 'weight', input.weight, dOut, dIn);
  if (moment) checkMoment(caller, moment, dIn);
  if (mean) checkMatrix(caller, 'mean', mean, dIn, 1);
  checkRank(caller, rank, dOut, dIn);
  const scaling = outputScaling(la, caller, outputWeights, dOut);
  const weight =
    input.weight instanceof Float64Array ? input.weight : new Float64Array(input.weight);
  return { weight: scaling ? scaling.apply(weight, dIn) : weight, scaling };
}

/** Eigenvalues that rounding left below zero count: those above are off by as much, the sum is not. */
function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}

/** W itself, or W = q t with t [dIn, dIn] where W has more outputs than inputs. */
function outputBasis(la: LinearAlgebra, weight: Float64Array, dOut: number, dIn: number) {
  if (dOut <= dIn) return { applyQ: undefined, t: weight, rows: dOut };
  const { r, applyQ } = la.choleskyQr(weight, dOut, dIn) ?? la.implicitQr(weight, dOut, dIn);
  return { applyQ, t: r, rows: dIn };
}

/** t tᵀ [rows, rows]. */
function ownGram(la: LinearAlgebra, t: Float64Array, rows: number, dIn: number): Float64Array {
  return la.matmul(t, transpose(t, rows, dIn), rows, dIn, rows);
}
