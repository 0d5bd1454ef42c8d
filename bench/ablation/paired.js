/**
 * Differences between results on the same questions, with 95 % intervals by picture: questions about
 * one picture are not independent, pictures are (ratio estimator over clusters).
 */

/** Of Student's t with some 300 pictures. */
const T_95 = 1.968;

/**
 * @typedef {{ exact: string, nll: number, tokens: number }[]} Pictures
 * @typedef {{ mean: number, low: number, high: number }} Interval
 */

/** @param {Pictures} pictures @returns {number[]} right answers of each picture. */
const right = (pictures) => pictures.map(({ exact }) => exact.split('1').length - 1);

/** Sums of each picture, averaged over repetitions with other calibration sets. */
function averaged(repetitions, pick) {
  const sums = repetitions.map(pick);
  return sums[0].map((_, i) => sums.reduce((sum, own) => sum + own[i], 0) / sums.length);
}

/**
 * Accuracy of `a` less that of `b`.
 * @param {readonly Pictures[]} a repetitions, which are averaged.
 * @param {readonly Pictures[]} b
 * @returns {Interval}
 */
export function accuracyDifference(a, b) {
  const sizes = a[0].map(({ exact }) => exact.length);
  return ratioDifference(averaged(a, right), averaged(b, right), sizes);
}

/** Negative log-likelihood an answer token of `a` less that of `b`. @returns {Interval} */
export function nllDifference(a, b) {
  const nll = (pictures) => pictures.map((picture) => picture.nll);
  const sizes = a[0].map(({ tokens }) => tokens);
  return ratioDifference(averaged(a, nll), averaged(b, nll), sizes);
}

/** (Σ a - Σ b) / Σ sizes, and its interval by clusters. */
function ratioDifference(a, b, sizes) {
  const count = sizes.length;
  const size = sizes.reduce((sum, value) => sum + value, 0);
  const mean = a.reduce((sum, value, i) => sum + value - b[i], 0) / size;
  const squares = a.reduce((sum, value, i) => sum + (value - b[i] - mean * sizes[i]) ** 2, 0);
  const half = (T_95 * Math.sqrt((squares * count) / (count - 1))) / size;
  return { mean, low: mean - half, high: mean + half };
}
