/**
 * The best rank-R factors of a linear map W for inputs of second moment S, minimising
 * E|W x - up down x|² (activation-aware SVD; the same optimum as SVD-LLM and CARE, but with no
 * inverse, so that any rank of S is fine):
 *
 *   M = W S Wᵀ = U Λ Uᵀ,  up = U_R,  down = U_Rᵀ W,  error = the sum of the dropped eigenvalues.
 *
 * Where W has more outputs than inputs, W = Q T first, and M = T S Tᵀ. Without S, S = I: plain SVD.
 * With output weights, W is Z W throughout, and up is Z⁻¹ U_R (see `output-scaling.ts`).
 */
import { checkMatrix } from './check-matrix';
import { checkMoment, checkSemidefinite } from './check-moment';
import { checkRank } from './check-rank';
import { errorOf, type FactorError } from './error-of';
import type { LinearAlgebra } from './linear-algebra';
import { type OutputWeights, outputScaling } from './output-scaling';
import { transpose } from './transpose';

export interface FactorizeInput {
  /** W [dOut, dIn], row-major. */
  weight: Float32Array | Float64Array;
  dOut: number;
  dIn: number;
  /** S [dIn, dIn], symmetric, of any rank and scale. Default the identity. */
  moment?: Float64Array;
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
}

/** @throws RangeError on lengths that do not fit, values that are not finite, or a rank too high. */
export function factorize(la: LinearAlgebra, input: FactorizeInput): Factors {
  const { dOut, dIn, moment, rank } = input;
  const { weight, scaling } = prepare(la, 'factorize', input);
  const { q, t, rows } = outputBasis(la, weight, dOut, dIn);
  const { values, vectors } = la.eigh(outputMoment(la, t, rows, dIn, moment), rows);
  checkSemidefinite('factorize', values);
  const kept = vectors.subarray(0, rank * rows); // [R, rows], a row each
  const basis = transpose(kept, rank, rows); // [rows, R]
  const up = q ? la.matmul(q, basis, dOut, rows, rank) : basis;
  return {
    rank,
    up: scaling ? scaling.undo(up, rank) : up,
    down: la.matmul(kept, t, rank, rows, dIn),
    eigenvalues: values,
    ...errorOf([{ energy: sum(values), error: Math.max(0, sum(values.subarray(rank))) }]),
  };
}

/** Check the input; Z W in float64. */
export function prepare(la: LinearAlgebra, caller: string, input: FactorizeInput) {
  const { dOut, dIn, moment, outputWeights, rank } = input;
  checkMatrix(caller, 'weight', input.weight, dOut, dIn);
  if (moment) checkMoment(caller, moment, dIn);
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
  if (dOut <= dIn) return { q: undefined, t: weight, rows: dOut };
  const { q, r } = la.qr(weight, dOut, dIn);
  return { q, t: r, rows: dIn };
}

/** t S tᵀ [rows, rows]; eigh reads one triangle, so each entry is the mean of both. */
function outputMoment(
  la: LinearAlgebra,
  t: Float64Array,
  rows: number,
  dIn: number,
  moment: Float64Array | undefined,
): Float64Array {
  const ts = moment ? la.matmul(t, moment, rows, dIn, dIn) : t;
  const gram = la.matmul(ts, transpose(t, rows, dIn), rows, dIn, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < i; j++) {
      const mean = (gram[i * rows + j]! + gram[j * rows + i]!) / 2;
      gram[i * rows + j] = mean;
      gram[j * rows + i] = mean;
    }
  }
  return gram;
}
