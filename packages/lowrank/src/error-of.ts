/** Errors and energies of maps that do not overlap add up. */
export interface FactorError {
  /** E|W x|², in the scale of S (and of the output weights). */
  energy: number;
  /** E|W x - up down x|², in the same scale. */
  error: number;
  /** sqrt(error / energy). */
  relativeError: number;
  /** 1 - error / energy. */
  retainedEnergy: number;
}

/** The error of maps that do not overlap, together. */
export function errorOf(parts: readonly Pick<FactorError, 'energy' | 'error'>[]): FactorError {
  const energy = parts.reduce((sum, part) => sum + part.energy, 0);
  const error = parts.reduce((sum, part) => sum + part.error, 0);
  const share = energy > 0 ? error / energy : 0;
  return { energy, error, relativeError: Math.sqrt(share), retainedEnergy: 1 - share };
}
