/**
 * Ask a model questions and score it: greedy answers by exact match, and the negative
 * log-likelihood of the reference answers.
 *
 * Prompts are prefilled but for their last token; that one, and every answer token, is decoded over
 * the cache. So what is scored is the cache as it is stored, quantized or not, from the first
 * answer token on. One prefill serves both measures: the cache is forked.
 */
import {
  argMax,
  type CacheOptions,
  type DecoderCache,
  prefillStep,
  yieldToEventLoop,
} from '@mha2mla/mla-runtime';
import {
  type ModelInputs,
  type Processor,
  prepareInputs,
  type VisionLanguageModel,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { type Question, samplesOf } from '../data/question';
import { logLikelihood } from './log-likelihood';
import { scoreAnswer } from './metric';
import { withoutLastToken } from './without-last-token';

export interface EvaluateOptions {
  cache?: CacheOptions;
  /** Questions that run together. Default 40. */
  batchSize?: number;
  /** Most tokens of an answer. Default 32. */
  maxTokens?: number;
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'evaluate'; loaded: number; total: number }) => void;
}

export interface Evaluation {
  questions: number;
  accuracy: number;
  accuracyByKind: Record<string, number>;
  /** Negative log-likelihood a token of the reference answers, end token included. */
  nll: number;
  /** The greedy answers, in the order of the questions. */
  answers: string[];
}

/** @throws the signal's reason when aborted. */
export async function evaluate(
  model: VisionLanguageModel,
  processor: Processor,
  questions: readonly Question[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { batchSize = 40, onProgress } = options;
  if (questions.length === 0) throw new RangeError('evaluate: expected questions, got none.');
  const answers = new Array<string>(questions.length);
  const total = { nll: 0, tokens: 0 };
  // Answers of like length share a batch, so that few rows wait for the longest.
  const order = [...questions.keys()].sort(
    (a, b) => questions[a]!.answers[0]!.length - questions[b]!.answers[0]!.length,
  );
  for (let start = 0; start < order.length; start += batchSize) {
    const indices = order.slice(start, start + batchSize);
    const batch = await askBatch(
      model,
      processor,
      indices.map((index) => questions[index]!),
      options,
    );
    for (const [i, index] of indices.entries()) answers[index] = batch.answers[i]!;
    total.nll += batch.nll;
    total.tokens += batch.tokens;
    onProgress?.({ phase: 'evaluate', loaded: start + indices.length, total: order.length });
  }
  return { ...summarise(questions, answers), nll: total.nll / total.tokens, answers };
}

function summarise(questions: readonly Question[], answers: readonly string[]) {
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

interface BatchResult {
  answers: string[];
  nll: number;
  tokens: number;
}

async function askBatch(
  model: VisionLanguageModel,
  processor: Processor,
  questions: readonly Question[],
  options: EvaluateOptions,
): Promise<BatchResult> {
  const inputs = processor.process(await samplesOf(questions));
  const references = questions.map(({ messages, answers }) =>
    processor.encodeAnswer(messages, answers[0]!),
  );
  const context = await prefillContext(model, inputs, options);
  try {
    const nll = await scoreReferences(model, context, references, options);
    const generated = await answerGreedily(model, context, options);
    return {
      answers: generated.map((ids) => processor.tokenizer.decode(ids)),
      nll,
      tokens: references.reduce((sum, ids) => sum + ids.length, 0),
    };
  } finally {
    context.cache.dispose();
  }
}

/** Prompts in a cache but for their last tokens, and where those stand. */
interface Context {
  cache: DecoderCache;
  lastTokens: Int32Array;
  lastPositions: Int32Array;
}

async function prefillContext(
  model: VisionLanguageModel,
  inputs: ModelInputs,
  { cache: cacheOptions, signal }: EvaluateOptions,
): Promise<Context> {
  const { family, config, decoder } = model;
  const { nextPositions } = prepareInputs(family, config, inputs);
  const { head, lastTokens } = withoutLastToken(inputs);
  const { layout, positionIds } = prepareInputs(family, config, head);
  const step = prefillStep(layout, positionIds, config.decoder);
  const embedded = model.embed(head);
  const cache = decoder.createCache(inputs.batch, cacheOptions);
  try {
    const hidden = await decoder.prefill(embedded, step, { cache, signal });
    hidden.dispose();
  } catch (error) {
    cache.dispose();
    throw error;
  } finally {
    tf.dispose(embedded);
    step.dispose();
  }
  return { cache, lastTokens, lastPositions: nextPositions.map((position) => position - 1) };
}

/** Sum of the negative log-likelihoods of all reference tokens. */
async function scoreReferences(
  model: VisionLanguageModel,
  context: Context,
  references: readonly (readonly number[])[],
  { signal }: EvaluateOptions,
): Promise<number> {
  const longest = Math.max(...references.map((ids) => ids.length));
  const cache = context.cache.fork();
  let nll = 0;
  try {
    let tokens = context.lastTokens;
    for (let t = 0; t < longest; t++) {
      const logits = await decodeNext(model, context, cache, tokens, t, signal);
      for (const [row, ids] of references.entries()) {
        if (t < ids.length) nll -= logLikelihood(rowOf(logits, row, references.length), ids[t]!);
      }
      tokens = Int32Array.from(references, (ids) => ids[Math.min(t, ids.length - 1)]!);
    }
    return nll;
  } finally {
    cache.dispose();
  }
}

async function answerGreedily(
  model: VisionLanguageModel,
  context: Context,
  { maxTokens = 32, signal }: EvaluateOptions,
): Promise<number[][]> {
  const { eosTokenIds } = model.config;
  const batch = context.cache.batch;
  const answers = Array.from({ length: batch }, (): number[] => []);
  const stopped = new Uint8Array(batch);
  const cache = context.cache.fork();
  try {
    let tokens = context.lastTokens;
    for (let t = 0; t < maxTokens && stopped.includes(0); t++) {
      const logits = await decodeNext(model, context, cache, tokens, t, signal);
      tokens = Int32Array.from({ length: batch }, (_, row) => argMax(rowOf(logits, row, batch)));
      for (const [row, token] of tokens.entries()) {
        if (eosTokenIds.includes(token)) stopped[row] = 1;
        if (!stopped[row]) answers[row]!.push(token);
      }
    }
    return answers;
  } finally {
    cache.dispose();
  }
}

/** Logits [B * vocabulary] after `tokens`, which stand `offset` behind the prompts' last ones. */
async function decodeNext(
  { decoder }: VisionLanguageModel,
  { lastPositions }: Context,
  cache: DecoderCache,
  tokens: Int32Array,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  signal?.throwIfAborted();
  const positions = lastPositions.map((position) => position + offset);
  const logits = decoder.decode(tokens, positions, cache);
  const values = (await logits.data()) as Float32Array;
  logits.dispose();
  await yieldToEventLoop();
  return values;
}

function rowOf(values: Float32Array, row: number, rows: number): Float32Array {
  const width = values.length / rows;
  return values.subarray(row * width, (row + 1) * width);
}
