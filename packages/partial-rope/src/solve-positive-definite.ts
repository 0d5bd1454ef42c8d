/**
 * Solve A x = b by Cholesky, A = L Lᵀ.
 * @param a [n, n] symmetric positive definite, of which the lower triangle is read; overwritten.
 * @param b [n]; overwritten.
 * @returns x, in the place of b.
 * @throws RangeError when A is not positive definite to rounding, or not finite.
 */
export function solvePositiveDefinite(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!;
      if (i !== j) a[i * n + j] = sum / a[j * n + j]!;
      else if (sum > 0) a[i * n + i] = Math.sqrt(sum);
      else throw notPositive(i, sum);
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i]! -= a[i * n + k]! * b[k]!;
    b[i]! /= a[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i]! -= a[k * n + i]! * b[k]!;
    b[i]! /= a[i * n + i]!;
  }
  return b;
}

function notPositive(row: number, pivot: number): RangeError {
  return new RangeError(
    `solvePositiveDefinite: pivots must be positive, got ${pivot} in row ${row}. Use a larger ridge.`,
  );
}
