/** Numbers as the report writes them. */

/** A share as a percentage of three digits or so. */
export function percentText(share: number): string {
  return `${numberText(100 * share)} %`;
}

/** To four digits; very small and very large ones with an exponent. */
export function numberText(value: number): string {
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(4));
  // JavaScript writes those below 1e-6 with an exponent itself, at any length.
  return size !== 0 && (size < 1e-6 || size >= 1e9) ? rounded.toExponential() : String(rounded);
}

/** Bytes as a whole number in groups of three digits, narrow spaces between. */
export function bytesText(bytes: number): string {
  return String(Math.round(bytes)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** Ascending integers with runs drawn together: `0–3, 7`. */
export function runsText(values: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const value of values) {
    const last = runs.at(-1);
    if (last && value === last[1] + 1) last[1] = value;
    else runs.push([value, value]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ');
}

/** How much smaller, as `17.5 times`. */
export function timesText(ratio: number): string {
  return `${Number(ratio.toPrecision(3))} times`;
}

/** A share for a sentence, to a tenth of a percent. */
export function roundPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
