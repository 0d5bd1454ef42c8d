/** How an answer is scored against the accepted ones: a number from 0 to 1. */
export type MetricName = 'exact';

/** Exact match after trimming. */
export function scoreAnswer(answer: string, accepted: readonly string[]): number {
  const given = answer.trim();
  return accepted.some((reference) => reference.trim() === given) ? 1 : 0;
}
