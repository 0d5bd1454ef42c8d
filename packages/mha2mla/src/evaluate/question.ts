/** A question about pictures with its reference answer: one line of a DATA file. */
import type { ProcessorSample } from '@mha2mla/vlm-adapters';

export interface Question {
  /** The conversation up to the answer, and its pictures. */
  sample: ProcessorSample;
  /** Accepted answers, the first of which likelihoods are taken of. */
  answers: readonly string[];
  /** A label that accuracy is also reported by. */
  kind?: string;
}
