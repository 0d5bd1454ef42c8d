/** A tiny LLaVA, its conversion, and answers in memory, for tests. */
import { memoryStore } from '@mha2mla/checkpoint';
import { llava, openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import { type ConvertRunOptions, convertModel } from '../convert/convert-model';
import { openTinyLlava, type TinyLlavaOptions, tinyInputs } from '../convert/tiny-llava';
import type { PackedReferences } from '../evaluate/pack-references';
import { memoryOutput } from '../output/result-output';

export interface TinyHealing {
  original: VlmSource;
  converted: VlmSource;
  /** Files of the converted model. */
  files: Map<string, Uint8Array>;
  /** The converted model, loaded. */
  student: VisionLanguageModel;
  /** The original, loaded. */
  teacher: VisionLanguageModel;
  dispose(): void;
}

/** Convert by the weights alone, and load both. */
export async function tinyHealing(
  model?: TinyLlavaOptions,
  options: ConvertRunOptions = {},
): Promise<TinyHealing> {
  const original = await openTinyLlava(model);
  const output = memoryOutput();
  await convertModel(original, output, {
    strategy: 'low',
    ropeDim: 4,
    init: 'weights',
    rank: options.factor === 'none' ? undefined : 4,
    ...options,
  });
  const converted = await openVlm(memoryStore(output.files), { families: [llava] });
  const student = await VisionLanguageModel.load(converted);
  const teacher = await VisionLanguageModel.load(original);
  const dispose = () => {
    student.dispose();
    teacher.dispose();
  };
  return { original, converted, files: output.files, student, teacher, dispose };
}

/** Tokens a row that are taken for its answer. */
const ANSWER = 3;

/**
 * Prompts with pictures whose last tokens are the answers, left-padded as for training.
 * @param padding tokens of it before the longest row.
 */
export function tinyAnswers(seed = 1, batch = 3, padding = 0): PackedReferences {
  const prompts = tinyInputs(seed, batch);
  const length = prompts.length - 1 + padding;
  const inputIds = new Int32Array(batch * length);
  const attentionMask = new Int32Array(batch * length);
  const positionIds = new Int32Array(batch * length).fill(1);
  const predicting: number[] = [];
  const labels: number[] = [];
  for (let row = 0; row < batch; row++) {
    const start = row * prompts.length;
    const mask = prompts.attentionMask.subarray(start, start + prompts.length);
    const tokens = prompts.inputIds.subarray(start, start + mask.lastIndexOf(1) + 1);
    const end = (row + 1) * length;
    inputIds.set(tokens.subarray(0, -1), end - tokens.length + 1);
    attentionMask.fill(1, end - tokens.length + 1, end);
    for (let t = 1; t < tokens.length; t++) positionIds[end - tokens.length + t] = t - 1;
    for (let t = end - ANSWER; t < end; t++) predicting.push(t);
    labels.push(...tokens.subarray(-ANSWER));
  }
  return {
    inputs: { ...prompts, length, inputIds, attentionMask },
    positionIds,
    branches: new Int32Array(batch * length),
    answerLengths: new Array<number>(batch).fill(ANSWER),
    predicting: Int32Array.from(predicting),
    labels: Int32Array.from(labels),
  };
}
