/** Conversations with their answers behind them, as one batch: what calibration and healing run. */
import type { ModelInputs, Processor, RgbImage } from '@mha2mla/vlm-adapters';
import { flipImage } from './flip-image';
import { type Question, samplesOf } from './question';

export interface AnsweredBatch {
  /** Prompts and answers without their last token, left-padded. */
  inputs: ModelInputs;
  /** Positions in [B * L] whose logits predict an answer token, row after row. */
  predicting: Int32Array;
  /** The answer tokens that they predict, end tokens included; -1 of questions that were mixed. */
  labels: Int32Array;
}

export interface AnsweredBatchOptions {
  /**
   * So many questions, from the first, are asked of the next one's pictures, turned over by turns,
   * if these are as many. Default 0.
   */
  mixed?: number;
}

const NO_LABEL = -1;

/** Prepare questions together with the first of their accepted answers. */
export async function answeredBatch(
  processor: Processor,
  questions: readonly Question[],
  { mixed = 0 }: AnsweredBatchOptions = {},
): Promise<AnsweredBatch> {
  const samples = await samplesOf(questions);
  const isMixed = samples.map(({ images }, i) => {
    const next = samples[(i + 1) % samples.length]!;
    return i < mixed && images.length > 0 && images.length === next.images.length;
  });
  const prompts = processor.process(
    samples.map((own, i) =>
      isMixed[i] ? { ...own, images: turned(samples[(i + 1) % samples.length]!.images, i) } : own,
    ),
  );
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
    labels: Int32Array.from(
      rows.flatMap(({ answer }, i) => answer.map((id) => (isMixed[i] ? NO_LABEL : id))),
    ),
  };
}

/** Pictures as they are, flipped either way or both, by turns: four from each. */
function turned(images: readonly RgbImage[], turn: number): RgbImage[] {
  const [horizontal, vertical] = [turn % 2 === 1, turn % 4 >= 2];
  return images.map((image) => flipImage(image, { horizontal, vertical }));
}

/** Ids of a row without its padding. */
function rowTokens({ inputIds, attentionMask, length }: ModelInputs, row: number): Int32Array {
  const start = row * length;
  const padding = attentionMask.subarray(start, start + length).indexOf(1);
  return inputIds.subarray(start + padding, start + length);
}
