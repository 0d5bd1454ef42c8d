/**
 * Warmup, stable, decay: the learning rate rises linearly, stays, and falls with 1 - sqrt(t)
 * (Hägele et al., arXiv 2405.18392), as transformers' `get_wsd_schedule` with `1-sqrt`.
 */
export interface WsdScheduleOptions {
  /** The rate between warmup and decay. */
  learningRate: number;
  /** Updates in all. */
  totalSteps: number;
  /** Updates of linear rise; the first of them has rate 0. Default 0. */
  warmupSteps?: number;
  /** Updates of decay, the last ones. Default 10 % of all, rounded up. */
  decaySteps?: number;
  /** The rate after the decay, as a share of `learningRate`. Default 0. */
  minLrRatio?: number;
}

/**
 * Build the learning rate as a function of the number of updates done before (0, 1, ...).
 * @throws RangeError if a count is not a whole number >= 0, or warmup and decay exceed the total.
 */
export function wsdSchedule(options: WsdScheduleOptions): (step: number) => number {
  const { learningRate, totalSteps, warmupSteps = 0, minLrRatio = 0 } = options;
  const { decaySteps = Math.min(Math.ceil(totalSteps / 10), totalSteps - warmupSteps) } = options;
  for (const [key, value] of Object.entries({ totalSteps, warmupSteps, decaySteps })) {
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(`wsdSchedule: ${key} must be a whole number >= 0, got ${key}=${value}.`);
    }
  }
  if (warmupSteps + decaySteps > totalSteps) {
    throw new RangeError(
      `wsdSchedule: warmupSteps + decaySteps must not exceed totalSteps=${totalSteps}, got ${warmupSteps} + ${decaySteps}.`,
    );
  }
  const decayStart = totalSteps - decaySteps;
  return (step) => {
    if (step < warmupSteps) return (learningRate * step) / warmupSteps;
    if (step < decayStart) return learningRate;
    if (step >= totalSteps) return learningRate * minLrRatio;
    const factor = 1 - Math.sqrt((step - decayStart) / decaySteps);
    return learningRate * (minLrRatio + (1 - minLrRatio) * factor);
  };
}
