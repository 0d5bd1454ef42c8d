/**
 * Choose the next token from logits: greedy at temperature 0, else from the softmax of
 * logits / temperature, cut to the `topK` most likely, to the smallest set that holds `topP`, and to
 * those at least `minP` times as likely as the best. Before all this, tokens that were said already
 * are made less likely by `repetitionPenalty`. All as in Hugging Face's generation.
 */
export interface SamplingOptions {
  /** 0 (default) is greedy. */
  temperature?: number;
  topK?: number;
  /** In (0, 1]. */
  topP?: number;
  /** In [0, 1]; 0 (default) keeps all. */
  minP?: number;
  /** Positive logits of tokens that were said are divided by it, negative multiplied. Default 1. */
  repetitionPenalty?: number;
  /** Uniform numbers in [0, 1). Needed when temperature is above 0. */
  random?: () => number;
}

/** @throws RangeError or TypeError on options that have no meaning. */
export function checkSamplingOptions(options: SamplingOptions): void {
  const { temperature = 0, topK, topP, minP = 0, repetitionPenalty = 1, random } = options;
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
  if (!(minP >= 0 && minP <= 1)) {
    throw new RangeError(`sampleToken: minP must lie in [0, 1], got ${minP}.`);
  }
  if (!(repetitionPenalty > 0 && repetitionPenalty < Number.POSITIVE_INFINITY)) {
    throw new RangeError(
      `sampleToken: repetitionPenalty must be above 0 and finite, got ${repetitionPenalty}.`,
    );
  }
  if (temperature > 0 && !random) {
    throw new TypeError('sampleToken: expected `random` or a seed with a temperature above 0.');
  }
}

/**
 * @param logits [vocabulary]; stays as it is.
 * @param said tokens so far, prompt included: those that a repetition penalty is for.
 * @returns a token id.
 * @throws RangeError on NaN or bad options.
 */
export function sampleToken(
  logits: Float32Array,
  options: SamplingOptions = {},
  said: Iterable<number> = [],
): number {
  checkSamplingOptions(options);
  const { repetitionPenalty = 1 } = options;
  return drawToken(
    repetitionPenalty === 1 ? logits : penalise(logits, repetitionPenalty, said),
    options,
  );
}

function drawToken(logits: Float32Array, options: SamplingOptions): number {
  const { temperature = 0, topK = logits.length, topP = 1, minP = 0, random } = options;
  const best = argMax(logits);
  if (temperature === 0) return best;
  if (!Number.isFinite(logits[best])) {
    throw new RangeError(`sampleToken: the largest logit must be finite, got ${logits[best]}.`);
  }
  const weightOf = (logit: number) => Math.exp((logit - logits[best]!) / temperature);
  const least = leastKept(logits, weightOf, topK, topP);
  const weights = logits.map((logit) => {
    const weight = weightOf(logit);
    // The best token weighs 1.
    return logit >= least && weight >= minP ? weight : 0;
  });
  return drawIndex(weights, random!());
}

function penalise(logits: Float32Array, penalty: number, said: Iterable<number>): Float32Array {
  const penalised = logits.slice();
  for (const id of new Set(said)) {
    const logit = logits[id]!;
    penalised[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
  return penalised;
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
