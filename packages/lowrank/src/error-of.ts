/**
 * Errors of maps that do not overlap add up. Eigenvalues that rounding left below zero count as
 * they are: those above zero are off by as much, and the sum (the trace) is not.
 */
export function errorOf(parts: readonly { eigenvalues: Float64Array; rank: number }[]) {
  const energy = (from: (rank: number) => number) =>
    parts.reduce(
      (sum, { eigenvalues, rank }) =>
        eigenvalues.subarray(from(rank)).reduce((s, value) => s + value, sum),
      0,
    );
  const total = energy(() => 0);
  const error = Math.max(
    0,
    energy((rank) => rank),
  );
  const share = total > 0 ? error / total : 0;
  return { error, relativeError: Math.sqrt(share), retainedEnergy: 1 - share };
}
