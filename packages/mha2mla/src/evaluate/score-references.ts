/**
 * Score reference answers by one pass over prompts and answers (teacher forcing). Greedy decoding
 * gives an answer exactly when each of its tokens is the likeliest behind those before it, so one
 * pass tells likelihood and exact match both.
 */
import type { Decoder } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { EmbeddedReferences } from './embed-references';
import { type ReferenceScore, scoreAnswers } from './score-answers';

/** Options of `scoreReferences`. */
export interface ScoreOptions {
  signal?: AbortSignal;
  /** What the head reads where an answer token is predicted, [answer tokens, D]; valid in the call. */
  onOutput?: (output: tf.Tensor2D) => void;
}

/**
 * @param decoder that of the model which embedded the questions, or one converted from it.
 * @returns a score of each question, in their order.
 * @throws the signal's reason when aborted.
 */
export async function scoreReferences(
  decoder: Decoder,
  { inputsEmbeds, step, predicting, labels, answerLengths }: EmbeddedReferences,
  { signal, onOutput }: ScoreOptions = {},
): Promise<ReferenceScore[]> {
  const hidden = await decoder.prefill(inputsEmbeds, step, { signal });
  const rows = tf.tidy(() => {
    const flat = tf.reshape(hidden, [-1, hidden.shape[2]]);
    return tf.gather(flat, tf.tensor1d(predicting, 'int32')) as tf.Tensor2D; // [P, D]
  });
  hidden.dispose();
  if (onOutput) {
    const normed = decoder.finalNorm(rows);
    onOutput(normed);
    normed.dispose();
  }
  const logits = decoder.logits(rows); // [P, vocabulary]
  rows.dispose();
  const values = (await logits.data()) as Float32Array;
  logits.dispose();
  return scoreAnswers(values, labels, answerLengths);
}
