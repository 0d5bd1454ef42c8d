import type { ReferenceScore } from '../evaluate/score-answers';

/**
 * How many standard errors a difference must have. A few dozen answers tell candidates that are
 * nearly right apart by chance alone, where the prediction is of thousands of rows.
 */
const ERRORS = 2;

/**
 * The first candidate, or one whose answers to the same questions are likelier by more than chance.
 * @param asked scores of each candidate, question by question.
 */
export function surelyLikeliest(
  asked: readonly (readonly Pick<ReferenceScore, 'nll'>[])[],
): number {
  let best = 0;
  for (let i = 1; i < asked.length; i++) {
    const gains = asked[i]!.map(({ nll }, question) => asked[best]![question]!.nll - nll);
    const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
    const squares = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0);
    const error = Math.sqrt(squares / Math.max(1, gains.length - 1) / gains.length);
    if (mean > ERRORS * error) best = i;
  }
  return best;
}
