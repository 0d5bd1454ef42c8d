/** What HQQ is set to: p, beta and rounds are those of hqq 0.2.8. */
const POWER = 0.7;
const BETA = 10;

export const HQQ = {
  power: POWER,
  beta: BETA,
  /** At most. */
  rounds: 20,
  /** Errors up to this are shrunk to 0; most are, and a power takes 50 ns. */
  shrunk: BETA ** (1 / (POWER - 2)),
  /**
   * A round goes on while the sum of |error| falls below this share of the best: where as many errors
   * are above 0 as below, moving the zero point leaves the sum as it is, and rounding would decide.
   */
  fall: 1 - 2 ** -17,
} as const;
