import { argMax } from '@mha2mla/mla-runtime';
import { logLikelihood } from './log-likelihood';

/** How likely a reference answer is. */
export interface ReferenceScore {
  /** Negative log-likelihood of all answer tokens, the end token included. */
  nll: number;
  tokens: number;
  /** Whether greedy decoding gives this answer, token for token. */
  exact: boolean;
}

/**
 * Read scores off logits.
 * @param logits [answer tokens * vocabulary], where each token is predicted, answer after answer.
 * @param labels the tokens, end tokens included.
 * @param answerLengths tokens of each answer.
 */
export function scoreAnswers(
  logits: Float32Array,
  labels: Int32Array,
  answerLengths: readonly number[],
): ReferenceScore[] {
  const width = logits.length / labels.length;
  let next = 0;
  return answerLengths.map((tokens) => {
    let nll = 0;
    let exact = true;
    for (let t = 0; t < tokens; t++, next++) {
      const own = logits.subarray(next * width, (next + 1) * width);
      nll -= logLikelihood(own, labels[next]!);
      exact &&= argMax(own) === labels[next];
    }
    return { nll, tokens, exact };
  });
}
