/**
 * Weights of outputs: what is minimised becomes E eᵀ A e of the errors e = W x - up down x, with a
 * block-diagonal A. With Z = A^½, the factors of Z W give it: up = Z⁻¹ U_R, down = U_Rᵀ Z W.
 *
 * For attention, a KV head's keys are weighted by the queries that will meet them, and its values
 * by the output projection (FORMULAS F5). Z is the only matrix here that is ever inverted.
 */
import { checkMoment, checkSemidefinite } from './check-moment';
import type { LinearAlgebra } from './linear-algebra';
import { transpose } from './transpose';

/** One symmetric positive semidefinite [n, n] for each run of n output rows; together all rows. */
export type OutputWeights = readonly Float64Array[];

/**
 * Added to a block's diagonal, as a share of its mean: directions that no query has are cheap, not
 * free, since the queries of other tokens may have them.
 */
const DAMPING = 1e-3;
/** The same as a share of the mean over all blocks: a block of zeros has to be invertible too. */
const FLOOR = 1e-9;

export interface OutputScaling {
  /** Z a, for a [dOut, cols]. */
  apply(a: Float64Array, cols: number): Float64Array;
  /** Z⁻¹ a. */
  undo(a: Float64Array, cols: number): Float64Array;
}

/**
 * @returns `undefined` where there are no weights, or zeros only, which prefer nothing.
 * @throws RangeError unless the blocks are square, cover `dOut` rows and are semidefinite.
 */
export function outputScaling(
  la: LinearAlgebra,
  caller: string,
  weights: OutputWeights | undefined,
  dOut: number,
): OutputScaling | undefined {
  if (!weights) return undefined;
  const sizes = blockSizes(caller, weights, dOut);
  const traces = weights.map((block, i) => trace(block, sizes[i]!));
  const mean = traces.reduce((sum, value) => sum + value, 0) / Math.max(1, dOut);
  if (mean === 0) return undefined;
  const roots = weights.map((block, i) => {
    const damping = (DAMPING * traces[i]!) / Math.max(1, sizes[i]!) + FLOOR * mean;
    return squareRoot(la, caller, block, sizes[i]!, damping);
  });
  const times = (which: 'root' | 'inverse') => (a: Float64Array, cols: number) => {
    const out = new Float64Array(a.length);
    let row = 0;
    for (const [i, size] of sizes.entries()) {
      const rows = a.subarray(row * cols, (row + size) * cols);
      out.set(la.matmul(roots[i]![which], rows, size, size, cols), row * cols);
      row += size;
    }
    return out;
  };
  return { apply: times('root'), undo: times('inverse') };
}

/** Rows of each block. */
export function blockSizes(caller: string, weights: OutputWeights, dOut: number): number[] {
  const sizes = weights.map((block) => Math.round(Math.sqrt(block.length)));
  for (const [i, size] of sizes.entries()) {
    checkMoment(caller, weights[i]!, size, `outputWeights[${i}]`);
  }
  const rows = sizes.reduce((sum, size) => sum + size, 0);
  if (rows !== dOut) {
    throw new RangeError(`${caller}: outputWeights must cover dOut=${dOut} rows, got ${rows}.`);
  }
  return sizes;
}

/** (A + damping)^½ and its inverse. */
function squareRoot(
  la: LinearAlgebra,
  caller: string,
  block: Float64Array,
  size: number,
  damping: number,
) {
  const { values, vectors } = la.eigh(block, size);
  checkSemidefinite(caller, values, 'outputWeights');
  const columns = transpose(vectors, size, size);
  const power = (exponent: number) => {
    const scaled = vectors.map(
      (entry, i) => entry * (Math.max(0, values[Math.floor(i / size)]!) + damping) ** exponent,
    );
    return la.matmul(columns, scaled, size, size, size);
  };
  return { root: power(0.5), inverse: power(-0.5) };
}

function trace(block: Float64Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += block[i * (size + 1)]!;
  return sum;
}
