/** What latents of other widths would have dropped: for the report, and for dividing up a budget. */

export interface Spectrum {
  /** Latent dims a KV head, ascending, the last the full width. */
  ranks: number[];
  /** Share of the energy of what was factored that a latent of as many dims drops. */
  tail: number[];
}

/** One factorisation of the latent: a group of heads, or keys and values apart. */
export interface SpectrumPart {
  /** Descending; all of them, or the largest. */
  eigenvalues: Float64Array;
  /** Their sum, with those that are not there. */
  energy: number;
  /** How many there are in all. */
  width: number;
}

/** Ranks that are told one by one, and how many are told in all. */
const [DENSE, MOST] = [64, 128];

/** @param heads KV heads that a part's latent serves. */
export function spectrumOf(parts: readonly SpectrumPart[], heads: number): Spectrum {
  const energy = parts.reduce((sum, part) => sum + part.energy, 0);
  const tails = parts.map(tailsOf);
  const full = Math.max(...parts.map(({ width }) => Math.ceil(width / heads)));
  const known = parts.every(({ eigenvalues, width }) => eigenvalues.length >= width)
    ? full
    : Math.floor(Math.min(...parts.map(({ eigenvalues }) => eigenvalues.length)) / heads);
  const ranks = spacedRanks(full).filter((rank) => rank <= known || rank === full);
  return {
    ranks,
    tail: ranks.map((rank) => {
      const dropped = tails.reduce((sum, tail) => sum + (tail[rank * heads] ?? 0), 0);
      return energy > 0 ? Math.min(1, Math.max(0, dropped / energy)) : 0;
    }),
  };
}

/** Energy beyond the first n eigenvalues, for n = 0 to all that are there but the last of all. */
function tailsOf({ eigenvalues, energy, width }: SpectrumPart): Float64Array {
  const tails = new Float64Array(eigenvalues.length + 1);
  const sum = eigenvalues.reduce((total, value) => total + value, 0);
  // Summed from the small end: as a difference of large sums, small tails would be rounding.
  tails[eigenvalues.length] = eigenvalues.length >= width ? 0 : energy - sum;
  for (let n = eigenvalues.length - 1; n >= 0; n--) tails[n] = tails[n + 1]! + eigenvalues[n]!;
  return tails;
}

/** Every rank to {@link DENSE}, then geometrically to the full width. */
function spacedRanks(full: number): number[] {
  const ranks = Array.from({ length: Math.min(full, DENSE) }, (_, i) => i + 1);
  const steps = MOST - DENSE;
  for (let i = 1; i <= steps && full > DENSE; i++) {
    const rank = Math.round(DENSE * (full / DENSE) ** (i / steps));
    if (rank > ranks[ranks.length - 1]!) ranks.push(rank);
  }
  return ranks;
}
