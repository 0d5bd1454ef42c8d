/**
 * Questions with their reference answers behind them, those about one picture packed into a row:
 * the tokens up to the first difference are its trunk, the rest of each question a branch that sees
 * the trunk and itself. A picture is computed once, however many questions are asked about it.
 */
import type { ModelInputs, Processor, ProcessorSample, VlmSource } from '@mha2mla/vlm-adapters';
import { type Question, samplesOf } from '../data/question';

/**
 * Questions and answers in rows that share what they have in common: a trunk, and a branch a
 * question.
 */
export interface PackedReferences {
  /** Trunks and branches [B, L], left-padded. */
  inputs: ModelInputs;
  /** [B * L], or [3 * B * L] for M-RoPE: each token's as if its branch stood alone. */
  positionIds: Int32Array;
  /** [B * L], 0 on the trunk, else the number of a branch, from 1 on. */
  branches: Int32Array;
  /** Positions in [B * L] whose logits predict an answer token, question after question. */
  predicting: Int32Array;
  /** The answer tokens that they predict, end tokens included. */
  labels: Int32Array;
  /** Answer tokens of each question, in the order of the rows. */
  answerLengths: number[];
}

/** A question alone, its answer's last token cut off. */
interface Answered {
  ids: Int32Array;
  /** Of the prompt. */
  promptLength: number;
  answer: readonly number[];
  /** [axes * ids]. */
  positionIds: Int32Array;
}

/**
 * Pack questions and the first of their accepted answers.
 * @param rows questions that share a row; all those of a row ask about the same pictures.
 * @throws RangeError where questions of a row differ before the end of their pictures.
 */
export async function packReferences(
  { family, config }: Pick<VlmSource, 'family' | 'config'>,
  processor: Processor,
  rows: readonly (readonly Question[])[],
): Promise<PackedReferences> {
  if (rows.length === 0 || rows.some((row) => row.length === 0)) {
    throw new RangeError('packReferences: expected a question in every row, got none.');
  }
  const samples = await Promise.all(rows.map(samplesOf));
  const packed = rows.map((questions, row) => {
    const answered = questions.map((question, i) => {
      const alone = withAnswer(processor, samples[row]![i]!, question);
      const { positionIds } = family.positions(config, alone.inputs);
      return { ...alone, ids: alone.inputs.inputIds, positionIds };
    });
    const trunk = commonPrefix(answered);
    assertMediaShared(answered, trunk, new Set(config.visionTokenIds));
    return { answered, trunk };
  });
  const media = processor.process(samples.map(([first]) => first!));
  return layOut(packed, media, processor.padTokenId);
}

function withAnswer(processor: Processor, sample: ProcessorSample, question: Question) {
  const prompt = processor.process([sample]);
  const answer = processor.encodeAnswer(question.messages, question.answers[0]!);
  const inputIds = Int32Array.of(...prompt.inputIds, ...answer.slice(0, -1));
  const length = inputIds.length;
  const attentionMask = new Int32Array(length).fill(1);
  const inputs: ModelInputs = { ...prompt, length, inputIds, attentionMask };
  return { inputs, promptLength: prompt.length, answer };
}

/** Tokens with which all prompts begin; the last of a prompt predicts, and so is never among them. */
function commonPrefix(answered: readonly Answered[]): number {
  const [first] = answered;
  const limit = Math.min(...answered.map(({ promptLength }) => promptLength - 1));
  let length = 0;
  while (length < limit && answered.every(({ ids }) => ids[length] === first!.ids[length]))
    length++;
  return length;
}

/** Tokens of pictures are alike, whatever they show: no branch may hold any. */
function assertMediaShared(
  answered: readonly Answered[],
  trunk: number,
  vision: ReadonlySet<number>,
): void {
  if (!answered.some(({ ids }) => ids.subarray(trunk).some((id) => vision.has(id)))) return;
  throw new RangeError(
    `packReferences: questions of a row must begin alike up to the end of their pictures, got ${trunk} tokens in common. Ask about the pictures behind them.`,
  );
}

function layOut(
  rows: readonly { answered: Answered[]; trunk: number }[],
  media: ModelInputs,
  padTokenId: number,
): PackedReferences {
  const sizeOf = ({ answered, trunk }: (typeof rows)[number]) =>
    answered.reduce((sum, { ids }) => sum + ids.length - trunk, trunk);
  const batch = rows.length;
  const length = Math.max(...rows.map(sizeOf));
  const axes = rows[0]!.answered[0]!.positionIds.length / rows[0]!.answered[0]!.ids.length;
  const inputIds = new Int32Array(batch * length).fill(padTokenId);
  const attentionMask = new Int32Array(batch * length);
  const positionIds = new Int32Array(axes * batch * length).fill(1);
  const branches = new Int32Array(batch * length);
  const predicting: number[] = [];
  for (const [row, { answered, trunk }] of rows.entries()) {
    let next = (row + 1) * length - sizeOf(rows[row]!);
    attentionMask.fill(1, next, (row + 1) * length);
    for (const [i, { ids, promptLength, answer, positionIds: own }] of answered.entries()) {
      const from = i === 0 ? 0 : trunk;
      const start = next - from; // where the question's first token would stand
      inputIds.set(ids.subarray(from), next);
      for (let axis = 0; axis < axes; axis++) {
        const values = own.subarray(axis * ids.length + from, (axis + 1) * ids.length);
        positionIds.set(values, axis * batch * length + next);
      }
      branches.fill(i + 1, start + trunk, start + ids.length);
      for (let t = 0; t < answer.length; t++) predicting.push(start + promptLength - 1 + t);
      next = start + ids.length;
    }
  }
  const all = rows.flatMap(({ answered }) => answered);
  return {
    inputs: { ...media, batch, length, inputIds, attentionMask },
    positionIds,
    branches,
    predicting: Int32Array.from(predicting),
    labels: Int32Array.from(all.flatMap(({ answer }) => answer)),
    answerLengths: all.map(({ answer }) => answer.length),
  };
}
