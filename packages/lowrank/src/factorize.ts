/**
 * The best rank-R factors of a linear map W for inputs of second moment S, minimising
 * E|W x - up down x|² (activation-aware SVD; the same optimum as SVD-LLM and CARE, but with no
 * inverse, so that any rank of S is fine):
 *
 *   M = W S Wᵀ = U Λ Uᵀ,  up = U_R,  down = U_Rᵀ W,  error = the sum of the dropped eigenvalues.
 *
 * Where W has more outputs than inputs, W = Q T first, and M = T S Tᵀ. Without S, S = I: plain SVD.
 */
import { checkMatrix } from './check-matrix';
import { checkMoment, checkSemidefinite } from './check-moment';
import { checkRank } from './check-rank';
import { errorOf } from './error-of';
import type { LinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

export interface FactorizeInput {
  /** W [dOut, dIn], row-major. */
  weight: Float32Array | Float64Array;
  dOut: number;
  dIn: number;
  /** S [dIn, dIn], symmetric, of any rank and scale. Default the identity. */
  moment?: Float64Array;
  /** R, from 0 to min(dOut, dIn): a wider latent holds no more. */
  rank: number;
}

export interface Factors {
  /** [dOut, R], orthonormal columns, the first holding the most energy. */
  up: Float64Array;
  /** [R, dIn]. */
  down: Float64Array;
  /** Of M, descending, [min(dOut, dIn)]; rounding can leave those of a singular M below 0. */
  eigenvalues: Float64Array;
  /** E|W x - up down x|², in the scale of S. */
  error: number;
  /** sqrt(error / E|W x|²). */
  relativeError: number;
  /** 1 - error / E|W x|². */
  retainedEnergy: number;
}

/** @throws RangeError on lengths that do not fit, values that are not finite, or a rank too high. */
export function factorize(la: LinearAlgebra, input: FactorizeInput): Factors {
  const { dOut, dIn, moment, rank } = input;
  checkMatrix('factorize', 'weight', input.weight, dOut, dIn);
  if (moment) checkMoment('factorize', moment, dIn);
  checkRank('factorize', rank, dOut, dIn);
  const weight =
    input.weight instanceof Float64Array ? input.weight : new Float64Array(input.weight);
  const { q, t, rows } = outputBasis(la, weight, dOut, dIn);
  const { values, vectors } = la.eigh(outputMoment(la, t, rows, dIn, moment), rows);
  checkSemidefinite('factorize', values);
  const kept = vectors.subarray(0, rank * rows); // [R, rows], a row each
  const basis = transpose(kept, rank, rows); // [rows, R]
  return {
    up: q ? la.matmul(q, basis, dOut, rows, rank) : basis,
    down: la.matmul(kept, t, rank, rows, dIn),
    eigenvalues: values,
    ...errorOf([{ eigenvalues: values, rank }]),
  };
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
