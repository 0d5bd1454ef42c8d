import type { SecondMoment } from './second-moment';

/** Energy of the joint moment, as a share of the modality's own, that breaks ties. */
const TIE_BREAK = 1e-3;

/**
 * The moment to factor a modality with. Fewer than two tokens a latent dim leave most directions
 * unseen; there the moment of all tokens decides, at an energy too small to outvote what was seen.
 * (Energy, not weight: one sink token can make the joint moment thousands of times larger.)
 * @param own moment of the modality. One without tokens, or of zeros only, is replaced by `joint`.
 * @param joint moment of all tokens.
 * @param options `rank`, the latent width that is to be factored; `center`, whether the moment is to
 *   be of x less its mean, which is that of `own` where it has tokens.
 * @returns mean of x xᵀ, [dim, dim], and with `center` that of x, [dim]; the caller's.
 * @throws RangeError when dims differ, or there are no tokens at all.
 */
export function withFallback(
  own: SecondMoment,
  joint: SecondMoment,
  { rank, center = false }: { rank: number; center?: boolean },
): { moment: Float64Array; mean?: Float64Array; usedFallback: boolean } {
  if (own.dim !== joint.dim) {
    throw new RangeError(
      `withFallback: both moments must have one dim, got own.dim=${own.dim}, joint.dim=${joint.dim}.`,
    );
  }
  const momentOf = (from: SecondMoment) => (center ? from.centered() : from.normalized());
  const moment = momentOf(own);
  const mean = center && { mean: (own.count > 0 ? own : joint).mean() };
  if (own.count > 0 && own.count >= 2 * rank) return { moment, ...mean, usedFallback: false };
  if (joint.count === 0) {
    throw new RangeError('withFallback: joint must hold tokens where own has few, got none.');
  }
  const other = momentOf(joint);
  const [ownEnergy, otherEnergy] = [moment, other].map((values) => trace(values, own.dim));
  const weight = ownEnergy! > 0 && otherEnergy! > 0 ? TIE_BREAK * (ownEnergy! / otherEnergy!) : 1;
  return {
    moment: moment.map((value, i) => value + weight * other[i]!),
    ...mean,
    usedFallback: true,
  };
}

function trace(values: Float64Array, dim: number): number {
  let sum = 0;
  for (let i = 0; i < dim; i++) sum += values[i * (dim + 1)]!;
  return sum;
}
