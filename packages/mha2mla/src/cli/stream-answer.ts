/** Generate an answer and show it as it comes; an interruption keeps what has come. */
import type { GenerateOptions } from '@mha2mla/mla-runtime';
import {
  createTokenStream,
  type ModelInputs,
  type Processor,
  type VisionLanguageModel,
} from '@mha2mla/vlm-adapters';
import { createStopTexts } from './stop-texts';

export interface AnswerOptions extends GenerateOptions {
  /** Texts that end the answer. */
  stop?: readonly string[];
  /** Called with each piece of text. */
  emit(text: string): void;
}

export interface Answer {
  text: string;
  /** End token included. */
  tokens: number;
  finishReason: 'stop' | 'length' | 'abort';
  /** 0 where no token has come. */
  prefillTokensPerSecond: number;
  /** 0 where no second token has come. */
  decodeTokensPerSecond: number;
  timeToFirstTokenMs?: number;
  cacheBytesAllocated: number;
  peakMemoryBytes: number;
}

/** @param inputs one prompt. */
export async function streamAnswer(
  model: VisionLanguageModel,
  processor: Processor,
  inputs: ModelInputs,
  { stop = [], emit, ...options }: AnswerOptions,
): Promise<Answer> {
  const stream = createTokenStream(processor.tokenizer);
  const stops = createStopTexts(stop);
  /** Of the start, and of each token. */
  const times = [performance.now()];
  let text = '';
  let cacheBytesAllocated = 0;
  let finishReason: Answer['finishReason'] = 'length';
  let isOpen = true;
  const say = (piece: string, isLast?: boolean) => {
    const next = stops.push(piece, isLast);
    text += next.text;
    emit(next.text);
    isOpen = !next.stopped;
  };
  try {
    for await (const { tokens, cache } of model.generate(inputs, options)) {
      times.push(performance.now());
      cacheBytesAllocated = cache.allocatedBytes;
      const isEnd = model.config.eosTokenIds.includes(tokens[0]!);
      if (!isEnd) say(stream.push(tokens[0]!));
      if (isOpen && !isEnd) continue;
      finishReason = 'stop';
      break;
    }
  } catch (error) {
    if (!options.signal?.aborted) throw error;
    finishReason = 'abort';
  }
  if (isOpen) say(stream.flush(), true);
  return {
    text,
    tokens: times.length - 1,
    finishReason,
    ...speeds(times, inputs.length),
    cacheBytesAllocated,
    // maxRSS counts kibibytes.
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function speeds([start = 0, ...tokens]: readonly number[], promptLength: number) {
  const [first, last] = [tokens[0], tokens.at(-1)!];
  if (first === undefined) return { prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 };
  return {
    prefillTokensPerSecond: (1000 * promptLength) / (first - start),
    decodeTokensPerSecond: tokens.length > 1 ? (1000 * (tokens.length - 1)) / (last - first) : 0,
    timeToFirstTokenMs: first - start,
  };
}
