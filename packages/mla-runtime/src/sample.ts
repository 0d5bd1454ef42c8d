/**
 * Choose the next token from logits: greedy at temperature 0, else from the softmax of
 * logits / temperature, cut to the `topK` most likely and to the smallest set that holds `topP`.
 */
export interface SamplingOptions {
  /** 0 (default) is greedy. */
  temperature?: number;
  topK?: number;
  /** In (0, 1]. */
  topP?: number;
  /** Uniform numbers in [0, 1). Needed when temperature is above 0. */
  random?: () => number;
}

/** @param logits [vocabulary]. @returns a token id. @throws RangeError on NaN or bad options. */
export function sampleToken(logits: Float32Array, options: SamplingOptions = {}): number {
  const { temperature = 0, topK, topP, random } = options;
  if (!(temperature >= 0)) {
    throw new RangeError(`sampleToken: temperature must be at least 0, got ${temperature}.`);
  }
  const best = argMax(logits);
  if (temperature === 0) return best;
  if (!random) throw new TypeError('sampleToken: expected `random` with a temperature above 0.');
  if (topK !== undefined && !(topK >= 1)) {
    throw new RangeError(`sampleToken: topK must be at least 1, got ${topK}.`);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) {
    throw new RangeError(`sampleToken: topP must lie in (0, 1], got ${topP}.`);
  }
  const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]!);
  const kept = order.slice(0, topK ?? order.length);
  const weights = kept.map((id) => Math.exp((logits[id]! - logits[best]!) / temperature));
  return kept[drawIndex(weights, topP ?? 1, random())]!;
}

/** Draw from descending weights, cut where their share reaches `topP`. */
function drawIndex(weights: readonly number[], topP: number, uniform: number): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let count = 0;
  let mass = 0;
  while (count < weights.length && mass < topP * total) mass += weights[count++]!;
  let remaining = uniform * mass;
  for (let i = 0; i < count; i++) {
    remaining -= weights[i]!;
    if (remaining < 0) return i;
  }
  return count - 1;
}

/** Index of the largest logit, the first of equals. @throws RangeError when one is NaN. */
export function argMax(logits: Float32Array): number {
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isNaN(logits[i])) {
      throw new RangeError(`argMax: logits must be numbers, got NaN at ${i}. The model diverged.`);
    }
    if (logits[i]! > logits[best]!) best = i;
  }
  return best;
}
