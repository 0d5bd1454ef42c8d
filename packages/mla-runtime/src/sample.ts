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

/** @throws RangeError or TypeError on options that have no meaning. */
export function checkSamplingOptions(options: SamplingOptions): void {
  const { temperature = 0, topK, topP, random } = options;
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw new RangeError(
      `sampleToken: temperature must be at least 0 and finite, got ${temperature}.`,
    );
  }
  if (topK !== undefined && !(Number.isSafeInteger(topK) && topK >= 1)) {
    throw new RangeError(`sampleToken: topK must be a positive integer, got ${topK}.`);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) {
    throw new RangeError(`sampleToken: topP must lie in (0, 1], got ${topP}.`);
  }
  if (temperature > 0 && !random) {
    throw new TypeError('sampleToken: expected `random` with a temperature above 0.');
  }
}

/** @param logits [vocabulary]. @returns a token id. @throws RangeError on NaN or bad options. */
export function sampleToken(logits: Float32Array, options: SamplingOptions = {}): number {
  checkSamplingOptions(options);
  const { temperature = 0, topK = logits.length, topP = 1, random } = options;
  const best = argMax(logits);
  if (temperature === 0) return best;
  if (!Number.isFinite(logits[best])) {
    throw new RangeError(`sampleToken: the largest logit must be finite, got ${logits[best]}.`);
  }
  const weightOf = (logit: number) => Math.exp((logit - logits[best]!) / temperature);
  const least = leastKept(logits, weightOf, topK, topP);
  const weights = logits.map((logit) => (logit >= least ? weightOf(logit) : 0));
  return drawIndex(weights, random!());
}

/**
 * The smallest logit that stays: that of the last of the `topK` largest, or earlier where the share
 * of the larger ones among them reaches `topP`. Tokens that tie with it stay too.
 */
function leastKept(
  logits: Float32Array,
  weightOf: (logit: number) => number,
  topK: number,
  topP: number,
): number {
  if (topK >= logits.length && topP === 1) return Number.NEGATIVE_INFINITY;
  const descending = logits.slice().sort().reverse().subarray(0, topK);
  const total = descending.reduce((sum, logit) => sum + weightOf(logit), 0);
  let mass = 0;
  for (const logit of descending) {
    mass += weightOf(logit);
    if (mass >= topP * total) return logit;
  }
  return descending.at(-1)!;
}

/** Draw an index in proportion to the weights. */
function drawIndex(weights: Float32Array, uniform: number): number {
  let remaining = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  let last = 0;
  for (const [i, weight] of weights.entries()) {
    if (weight === 0) continue;
    remaining -= weight;
    last = i;
    if (remaining < 0) break;
  }
  return last;
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
