/** log softmax(logits)[token], in double precision. */
export function logLikelihood(logits: Float32Array, token: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > max) max = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  return logits[token]! - max - Math.log(sum);
}
