/**
 * Ask a batch of questions: what does the model answer, and how likely are the references? One
 * prefill serves both, since the cache is forked.
 */
import { argMax, type CacheOptions } from '@mha2mla/mla-runtime';
import type { Processor, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { type Question, samplesOf } from '../data/question';
import { logLikelihood } from './log-likelihood';
import { decodeNext, type PromptContext, prefillPrompts } from './prompt-context';

export interface AskOptions {
  cache?: CacheOptions;
  /** Most tokens of an answer. Default 32. */
  maxTokens?: number;
  signal?: AbortSignal;
}

export interface BatchResult {
  /** The greedy answers. */
  answers: string[];
  /** Negative log-likelihood of all reference answers, and their tokens, end tokens included. */
  nll: number;
  tokens: number;
  /** Held by the cache after the prompts. */
  cacheBytes: number;
}

/** @throws the signal's reason when aborted. */
export async function askBatch(
  model: VisionLanguageModel,
  processor: Processor,
  questions: readonly Question[],
  options: AskOptions,
): Promise<BatchResult> {
  const inputs = processor.process(await samplesOf(questions));
  const references = questions.map(({ messages, answers }) =>
    processor.encodeAnswer(messages, answers[0]!),
  );
  const context = await prefillPrompts(model, inputs, options);
  try {
    const nll = await scoreReferences(model, context, references, options);
    const generated = await answerGreedily(model, context, options);
    return {
      answers: generated.map((ids) => processor.tokenizer.decode(ids, { skipSpecialTokens: true })),
      nll,
      tokens: references.reduce((sum, ids) => sum + ids.length, 0),
      cacheBytes: context.cache.allocatedBytes,
    };
  } finally {
    context.cache.dispose();
  }
}

/** Sum of the negative log-likelihoods of all reference tokens. */
async function scoreReferences(
  model: VisionLanguageModel,
  context: PromptContext,
  references: readonly (readonly number[])[],
  { signal }: AskOptions,
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
  context: PromptContext,
  { maxTokens = 32, signal }: AskOptions,
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

function rowOf(values: Float32Array, row: number, rows: number): Float32Array {
  const width = values.length / rows;
  return values.subarray(row * width, (row + 1) * width);
}
