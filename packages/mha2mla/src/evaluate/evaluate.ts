/**
 * Ask a model questions and score it: greedy answers by exact match, and the negative
 * log-likelihood of the reference answers, both over the cache as it is stored.
 */
import type { CacheOptions } from '@mha2mla/mla-runtime';
import type { Processor, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import type { Question } from '../data/question';
import { askBatch, type BatchResult } from './ask-batch';
import { scoreAnswer } from './metric';

/** Options of `evaluate`. */
export interface EvaluateOptions {
  cache?: CacheOptions;
  /** Questions that run together. Default 40. */
  batchSize?: number;
  /** Most tokens of an answer. Default 32. */
  maxTokens?: number;
  signal?: AbortSignal;
  /** Called after each batch. */
  onProgress?: (progress: { phase: 'evaluate'; loaded: number; total: number }) => void;
}

/** Accuracy and likelihood of the reference answers. */
export interface Evaluation {
  questions: number;
  accuracy: number;
  accuracyByKind: Record<string, number>;
  /** Negative log-likelihood a token of the reference answers, end token included. */
  nll: number;
  /** Most bytes that the cache of a batch held after the prompts, on this backend. */
  cacheBytesAllocated: number;
  /** The greedy answers, in the order of the questions. */
  answers: string[];
}

/**
 * @throws RangeError for no questions, or a size of a batch or an answer that cannot be; the
 *   signal's reason when aborted.
 */
export async function evaluate(
  model: VisionLanguageModel,
  processor: Processor,
  questions: readonly Question[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { signal, onProgress } = options;
  const batches = evaluationBatches(questions, options);
  const results: BatchResult[] = [];
  let loaded = 0;
  for (const batch of batches) {
    signal?.throwIfAborted();
    const asked = batch.map((index) => questions[index]!);
    results.push(await askBatch(model, processor, asked, options));
    loaded += batch.length;
    onProgress?.({ phase: 'evaluate', loaded, total: questions.length });
  }
  return summarise(questions, batches, results);
}

/**
 * Questions that run together, by their places.
 * @throws RangeError for no questions, or a size of a batch or an answer that cannot be.
 */
export function evaluationBatches(
  questions: readonly Question[],
  { batchSize = 40, maxTokens = 32 }: Pick<EvaluateOptions, 'batchSize' | 'maxTokens'>,
): number[][] {
  if (questions.length === 0) throw new RangeError('evaluate: expected questions, got none.');
  for (const [name, value] of Object.entries({ batchSize, maxTokens })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new RangeError(`evaluate: ${name} must be a positive integer, got ${value}.`);
  }
  // Answers of like length share a batch, so that few rows wait for the longest.
  const order = [...questions.keys()].sort(
    (a, b) => questions[a]!.answers[0]!.length - questions[b]!.answers[0]!.length,
  );
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, i) =>
    order.slice(i * batchSize, (i + 1) * batchSize),
  );
}

/** What the answers of all batches come to. */
export function summarise(
  questions: readonly Question[],
  batches: readonly (readonly number[])[],
  results: readonly BatchResult[],
): Evaluation {
  const answers = new Array<string>(questions.length);
  for (const [i, batch] of batches.entries()) {
    for (const [row, index] of batch.entries()) answers[index] = results[i]!.answers[row]!;
  }
  const sum = (pick: (result: BatchResult) => number) =>
    results.reduce((total, result) => total + pick(result), 0);
  return {
    ...scoresOf(questions, answers),
    nll: sum(({ nll }) => nll) / sum(({ tokens }) => tokens),
    cacheBytesAllocated: Math.max(...results.map(({ cacheBytes }) => cacheBytes)),
    answers,
  };
}

function scoresOf(questions: readonly Question[], answers: readonly string[]) {
  const byKind = new Map<string, number[]>();
  const scores = questions.map((question, i) => scoreAnswer(answers[i]!, question.answers));
  for (const [i, { kind = 'all' }] of questions.entries()) {
    byKind.set(kind, [...(byKind.get(kind) ?? []), scores[i]!]);
  }
  return {
    questions: questions.length,
    accuracy: mean(scores),
    accuracyByKind: Object.fromEntries([...byKind].sort().map(([k, v]) => [k, mean(v)])),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
