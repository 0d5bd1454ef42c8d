/** Conversations with their answers behind them, as one batch: what calibration runs. */
import type { ModelInputs, Processor } from '@mha2mla/vlm-adapters';
import { type Question, samplesOf } from './question';

export interface AnsweredBatch {
  /** Prompts and answers without their last token, left-padded. */
  inputs: ModelInputs;
  /** Positions in [B * L] whose logits predict an answer token, row after row. */
  predicting: Int32Array;
  /** The answer tokens that they predict, end tokens included. */
  labels: Int32Array;
}

/** Prepare questions together with the first of their accepted answers. */
export async function answeredBatch(
  processor: Processor,
  questions: readonly Question[],
): Promise<AnsweredBatch> {
  const prompts = processor.process(await samplesOf(questions));
  const rows = questions.map(({ messages, answers }, row) => {
    const answer = processor.encodeAnswer(messages, answers[0]!);
    return { prompt: rowTokens(prompts, row), answer };
  });
  const length = Math.max(...rows.map(({ prompt, answer }) => prompt.length + answer.length - 1));
  const batch = rows.length;
  const inputIds = new Int32Array(batch * length).fill(processor.padTokenId);
  const attentionMask = new Int32Array(batch * length);
  const predicting: number[] = [];
  for (const [row, { prompt, answer }] of rows.entries()) {
    const end = (row + 1) * length;
    const first = end - answer.length + 1;
    inputIds.set(prompt, first - prompt.length);
    inputIds.set(answer.slice(0, -1), first);
    attentionMask.fill(1, first - prompt.length, end);
    for (let t = first - 1; t < end; t++) predicting.push(t);
  }
  return {
    inputs: { ...prompts, length, inputIds, attentionMask },
    predicting: Int32Array.from(predicting),
    labels: Int32Array.from(rows.flatMap(({ answer }) => answer)),
  };
}

/** Ids of a row without its padding. */
function rowTokens({ inputIds, attentionMask, length }: ModelInputs, row: number): Int32Array {
  const start = row * length;
  const padding = attentionMask.subarray(start, start + length).indexOf(1);
  return inputIds.subarray(start + padding, start + length);
}
