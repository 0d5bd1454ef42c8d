/**
 * The weights of one antialiased bicubic pass. Output x takes the input samples around
 * c = (x + 1/2) * scale, weighted by the cubic convolution kernel (Keys 1981, a = -1/2), which is
 * stretched by the scale when shrinking, and normalised to sum 1. They are rounded to fixed point
 * with 22 fraction bits, as Pillow does for 8-bit pictures, so that results are equal to its.
 */

export interface BicubicWeights {
  /** First input sample of each output sample. */
  first: Int32Array;
  /** Number of input samples of each output sample. */
  count: Int32Array;
  /** Weights in units of 2^-22; those of output i start at i * stride. */
  weights: Int32Array;
  stride: number;
}

/** 32 bits less 8 for the sample and 2 for sums above 1 and the sign. */
export const PRECISION_BITS = 32 - 8 - 2;

/** Half width of the kernel in samples, unstretched. */
const SUPPORT = 2;

/**
 * Compute the weights of outputs `start` up to, not including, `end` of a line of `inSize` samples
 * that is resized to `outSize`.
 */
export function bicubicWeights(
  inSize: number,
  outSize: number,
  start: number,
  end: number,
): BicubicWeights {
  const scale = inSize / outSize;
  const stretch = Math.max(scale, 1);
  const support = SUPPORT * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const length = end - start;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * stride);
  const line = new Float64Array(stride);
  for (let i = 0; i < length; i++) {
    const centre = (start + i + 0.5) * scale;
    const from = Math.max(Math.trunc(centre - support + 0.5), 0);
    const taps = Math.min(Math.trunc(centre + support + 0.5), inSize) - from;
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const weight = cubic((from + k - centre + 0.5) * (1 / stretch));
      line[k] = weight;
      sum += weight;
    }
    for (let k = 0; k < taps; k++) {
      const weight = sum === 0 ? line[k]! : line[k]! / sum;
      weights[i * stride + k] = Math.trunc(
        weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5),
      );
    }
    first[i] = from;
    count[i] = taps;
  }
  return { first, count, weights, stride };
}

/** The cubic convolution kernel with a = -1/2. */
function cubic(x: number): number {
  const a = -0.5;
  const t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}
