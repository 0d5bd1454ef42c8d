/**
 * A latent is ordered by energy, so its first dims are the smaller model's latent: nothing has to
 * be factored again.
 */
import { errorOf } from './error-of';
import type { Factors } from './factorize';

/**
 * @param rank from 0 to that of `factors`.
 * @returns the factors of that rank, error included; copies.
 * @throws RangeError
 */
export function truncateFactors(factors: Factors, rank: number): Factors {
  const { rank: wide, up, down, eigenvalues, energy, error, offset, latentMean } = factors;
  if (!Number.isSafeInteger(rank) || rank < 0 || rank > wide) {
    throw new RangeError(
      `truncateFactors: rank must be an integer from 0 to that of the factors, ${wide}, got ${rank}.`,
    );
  }
  const dropped = eigenvalues.subarray(rank, wide).reduce((sum, value) => sum + value, 0);
  return {
    rank,
    up: up.filter((_, i) => i % wide < rank), // [dOut, R]
    down: down.slice(0, (down.length / Math.max(1, wide)) * rank), // [R, dIn]
    eigenvalues,
    ...(offset &&
      latentMean && {
        latentMean: latentMean.slice(0, rank),
        // What the dropped dims made of the mean is now missing, too.
        offset: offset.map((value, row) => {
          let sum = value;
          for (let i = rank; i < wide; i++) sum += up[row * wide + i]! * latentMean[i]!;
          return sum;
        }),
      }),
    ...errorOf([{ energy, error: error + dropped }]),
  };
}
