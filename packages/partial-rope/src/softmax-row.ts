/**
 * Softmax of a row's first `visible` scores into `weights`. Scores lose their maximum; those of
 * padding become -Infinity, whatever they hold. Without a score, all weights are 0.
 * @returns the log of the sum of e^scores.
 */
export function softmaxRow(
  scores: Float64Array,
  weights: Float64Array,
  visible: number,
  keyMask?: Uint8Array,
): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < visible; j++) {
    if (keyMask && keyMask[j] === 0) scores[j] = Number.NEGATIVE_INFINITY;
    else if (scores[j]! > max) max = scores[j]!;
  }
  if (max === Number.NEGATIVE_INFINITY) {
    weights.fill(0, 0, visible);
    return max;
  }
  let sum = 0;
  for (let j = 0; j < visible; j++) {
    scores[j]! -= max;
    sum += weights[j] = Math.exp(scores[j]!);
  }
  for (let j = 0; j < visible; j++) weights[j]! /= sum;
  return max + Math.log(sum);
}
