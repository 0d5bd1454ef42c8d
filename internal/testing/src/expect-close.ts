/**
 * Compare two arrays of numbers and say where they differ most: shape, NaN and infinity mismatch,
 * worst index with both values, share of elements that fail.
 */
import { expect } from 'vitest';

export interface CloseOptions {
  /** Largest absolute difference allowed. */
  abs?: number;
  /** Largest difference allowed relative to the expected element. */
  rel?: number;
}

/** Fail unless `actual` has the length of `expected` and each |a - e| <= abs + rel |e|. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { abs = 0, rel = 0 }: CloseOptions,
): void {
  const report = compare(actual, expected, abs, rel);
  expect(report, report ?? 'close').toBeUndefined();
}

function compare(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  abs: number,
  rel: number,
): string | undefined {
  if (actual.length !== expected.length) {
    return `length must be ${expected.length}, got ${actual.length}`;
  }
  let failing = 0;
  let worst = -1;
  let worstExcess = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (Object.is(a, e) || a === e) continue;
    const excess =
      Number.isFinite(a) && Number.isFinite(e)
        ? Math.abs(a - e) - abs - rel * Math.abs(e)
        : Number.POSITIVE_INFINITY;
    if (!(excess > 0)) continue;
    failing++;
    if (excess > worstExcess || worst < 0) {
      worst = i;
      worstExcess = excess;
    }
  }
  if (failing === 0) return undefined;
  const share = ((100 * failing) / expected.length).toFixed(2);
  return `${failing} of ${expected.length} elements (${share} %) differ; worst at ${worst}: got ${actual[worst]}, expected ${expected[worst]} (abs ${abs}, rel ${rel})`;
}
