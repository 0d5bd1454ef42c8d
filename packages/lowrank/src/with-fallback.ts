import type { SecondMoment } from './second-moment';

/** Share of the joint moment that breaks ties where a modality has seen too little. */
const TIE_BREAK = 1e-3;

/**
 * The moment to factor a modality with. Fewer than two tokens a latent dim leave most directions
 * unseen; there the moment of all tokens decides, at a weight too small to outvote what was seen.
 * @returns mean of x xᵀ, [dim, dim].
 */
export function withFallback(
  own: SecondMoment,
  joint: SecondMoment,
  { rank }: { rank: number },
): { moment: Float64Array; usedFallback: boolean } {
  const moment = own.normalized();
  if (own.count >= 2 * rank) return { moment, usedFallback: false };
  const other = joint.normalized();
  const weight = own.count === 0 ? 1 : TIE_BREAK;
  return { moment: moment.map((value, i) => value + weight * other[i]!), usedFallback: true };
}
