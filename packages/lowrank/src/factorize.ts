/**
 * The best rank-R factors of a linear map W for inputs of second moment S, minimising
 * E|W x - up down x|² (activation-aware SVD; the same optimum as SVD-LLM and CARE, but with no
 * inverse, so that any rank of S is fine):
 *
 *   M = W S Wᵀ = U Λ Uᵀ,  up = U_R,  down = U_Rᵀ W,  error = the sum of the dropped eigenvalues.
 *
 * Where W has more outputs than inputs, W = Q T first, and M = T S Tᵀ. Without S, S = I: plain SVD.
 */
import { type LinearAlgebra, transpose } from './linear-algebra';

export interface FactorizeInput {
  /** W [dOut, dIn], row-major. */
  weight: Float32Array | Float64Array;
  dOut: number;
  dIn: number;
  /** S [dIn, dIn], of any scale. Default the identity. */
  moment?: Float64Array;
  /** R, from 0 to min(dOut, dIn) or more, where further directions do no harm. */
  rank: number;
}

export interface Factors {
  /** [dOut, R], orthonormal columns, the first holding the most energy. */
  up: Float64Array;
  /** [R, dIn]. */
  down: Float64Array;
  /** Of M, descending. */
  eigenvalues: Float64Array;
  /** E|W x - up down x|², in the scale of S. */
  error: number;
  /** sqrt(error / E|W x|²). */
  relativeError: number;
  /** 1 - error / E|W x|². */
  retainedEnergy: number;
}

/** @throws RangeError when lengths do not fit, or rank exceeds dOut. */
export function factorize(la: LinearAlgebra, input: FactorizeInput): Factors {
  const { dOut, dIn, rank } = input;
  if (input.weight.length !== dOut * dIn) {
    throw new RangeError(
      `factorize: weight must be [${dOut}, ${dIn}], got ${input.weight.length} values.`,
    );
  }
  if (!Number.isSafeInteger(rank) || rank < 0 || rank > dOut) {
    throw new RangeError(`factorize: rank must be an integer from 0 to ${dOut}, got ${rank}.`);
  }
  if (dOut > dIn && rank > dIn) {
    throw new RangeError(
      `factorize: rank must be at most the ${dIn} inputs, got ${rank}. A wider latent holds no more.`,
    );
  }
  const weight = Float64Array.from(input.weight);
  const { q, t, rows } = outputBasis(la, weight, dOut, dIn);
  const { values, vectors } = la.eigh(outputMoment(la, t, rows, dIn, input.moment), rows);
  const kept = vectors.slice(0, rank * rows); // [R, rows], a row each
  const upRows = q ? la.matmul(kept, transpose(q, dOut, dIn), rank, rows, dOut) : kept;
  return {
    up: transpose(upRows, rank, dOut),
    down: la.matmul(kept, t, rank, rows, dIn),
    eigenvalues: values,
    ...errorOf(values, rank),
  };
}

/** W itself, or W = q t with t [dIn, dIn] where W has more outputs than inputs. */
function outputBasis(la: LinearAlgebra, weight: Float64Array, dOut: number, dIn: number) {
  if (dOut <= dIn) return { q: undefined, t: weight, rows: dOut };
  const { q, r } = la.qr(weight, dOut, dIn);
  return { q, t: r, rows: dIn };
}

/** t S tᵀ [rows, rows], made symmetric to the last bit. */
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

/** Rounding leaves eigenvalues of a semidefinite matrix a little below zero: they hold nothing. */
function errorOf(values: Float64Array, rank: number) {
  const energy = (from: number) =>
    values.subarray(from).reduce((sum, value) => sum + Math.max(0, value), 0);
  const total = energy(0);
  const error = energy(rank);
  const share = total > 0 ? error / total : 0;
  return { error, relativeError: Math.sqrt(share), retainedEnergy: 1 - share };
}
