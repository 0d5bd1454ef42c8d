import type { Unrotation } from './unrotation';

/**
 * Multiply the pairs of a query projection by their complex numbers.
 * @param rows [N * H, width], row-major: a weight with its inputs, or a bias of width 1.
 * @returns a new array of the same form.
 * @throws RangeError when lengths do not fit.
 */
export function applyUnrotation(
  rows: Float32Array,
  { real, imaginary }: Unrotation,
  { headDim, width }: { headDim: number; width: number },
): Float32Array {
  const half = headDim / 2;
  if (rows.length !== real.length * 2 * width || real.length % half !== 0) {
    throw new RangeError(
      `applyUnrotation: rows must hold ${real.length * 2} x ${width} values, got ${rows.length}.`,
    );
  }
  const turned = rows.slice();
  for (let i = 0; i < real.length; i++) {
    const [re, im] = [real[i]!, imaginary[i]!];
    const first = (Math.floor(i / half) * headDim + (i % half)) * width;
    const second = first + half * width;
    for (let d = 0; d < width; d++) {
      const [q1, q2] = [rows[first + d]!, rows[second + d]!];
      turned[first + d] = re * q1 - im * q2;
      turned[second + d] = re * q2 + im * q1;
    }
  }
  return turned;
}
