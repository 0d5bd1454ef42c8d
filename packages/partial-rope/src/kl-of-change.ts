/** How far a softmax moves when its scores change. */

/** Below this an entry's share of P' is lost in float64 beside the others. */
const LOG_NEGLIGIBLE = -40;

export interface Change {
  /** KL(P || P'). */
  divergence: number;
  /** log Σ P e^d: by how much the log of the normalising sum grows. */
  lift: number;
}

/**
 * KL(P || P') of P ∝ e^s and P' ∝ e^(s + d): log1p(Σ P expm1(d - m)), m = Σ P d. Without m, a pair
 * that moves all scores alike (a key bias does) leaves nothing but rounding; without log1p and
 * expm1, a small pair does.
 * @param scores s, [n], less their maximum; -Infinity takes no part.
 * @param weights P, [n]; where it is 0, d may be NaN if s is -Infinity.
 * @param deltas d, from `start`.
 */
export function klOfChange(
  scores: Float64Array,
  weights: Float64Array,
  deltas: Float64Array,
  start: number,
  n: number,
): Change {
  let mean = 0;
  for (let j = 0; j < n; j++) {
    if (weights[j]! > 0) mean += weights[j]! * deltas[start + j]!;
  }
  let growth = 0;
  for (let j = 0; j < n; j++) {
    const change = deltas[start + j]! - mean;
    if (weights[j]! > 0) growth += weights[j]! * Math.expm1(change);
    else if (scores[j]! + change > LOG_NEGLIGIBLE) growth = Number.POSITIVE_INFINITY;
  }
  if (growth === Number.POSITIVE_INFINITY) {
    const lift = largeLift(scores, deltas, start, n);
    return { divergence: lift - mean, lift };
  }
  const divergence = Math.max(0, Math.log1p(growth)); // rounding can leave -1e-17
  return { divergence, lift: mean + divergence };
}

/** The lift where P' lies on entries of which P knows nothing: log Σ e^(s + d) - log Σ e^s. */
function largeLift(scores: Float64Array, deltas: Float64Array, start: number, n: number): number {
  const logSum = (score: (j: number) => number) => {
    let max = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < n; j++) if (score(j) > max) max = score(j);
    let sum = 0;
    for (let j = 0; j < n; j++) {
      if (score(j) > Number.NEGATIVE_INFINITY) sum += Math.exp(score(j) - max);
    }
    return max + Math.log(sum);
  };
  return logSum((j) => scores[j]! + deltas[start + j]!) - logSum((j) => scores[j]!);
}
