/** How well the second moment of a layer's inputs is conditioned: how many directions they use. */
import type { LinearAlgebra, SecondMoment } from '@mha2mla/lowrank';

export interface MomentCondition {
  /** (tr S)² / tr S²: so many directions of equal energy would be alike. */
  effectiveRank: number;
  /**
   * Ratio of the largest eigenvalue to the smallest; `null` where that is nothing but rounding, as
   * with fewer tokens than dims. Absent for models too wide to look.
   */
  condition?: number | null;
}

/** A decomposition takes minutes beyond (40 s a matrix at 4096, twice a layer). */
const WIDEST = 2048;
/** Products of f32 batches know nothing of what is smaller, relative to the largest. */
const ROUNDING = 1e-7;

/** @returns `undefined` where no token was seen, or all were zero. */
export function momentCondition(
  la: LinearAlgebra,
  moment: SecondMoment,
): MomentCondition | undefined {
  const { dim, count } = moment;
  const values = moment.normalized();
  let [trace, squares] = [0, 0];
  for (let i = 0; i < dim; i++) trace += values[i * (dim + 1)]!;
  for (const value of values) squares += value * value;
  if (count === 0 || squares === 0) return undefined;
  const effectiveRank = trace ** 2 / squares;
  if (dim > WIDEST) return { effectiveRank };
  const eigenvalues = la.eigh(values, dim).values;
  const [largest, smallest] = [eigenvalues[0]!, eigenvalues[dim - 1]!];
  return { effectiveRank, condition: smallest > ROUNDING * largest ? largest / smallest : null };
}
