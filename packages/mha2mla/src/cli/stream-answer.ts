/** Show an answer as it comes; an interruption keeps what has come. */
import type {
  ChatSession,
  ProcessorSample,
  ReplyOptions,
  ReplyResult,
  ReplyStats,
} from '@mha2mla/vlm-adapters';

export interface AnswerOptions extends ReplyOptions {
  /** Called with each piece of text. */
  emit(text: string): void;
}

export interface Answer extends Pick<ReplyResult, 'text' | 'finishReason'>, ReplyStats {
  /** End token included. */
  tokens: number;
  peakMemoryBytes: number;
}

/** @param sample the whole conversation. */
export async function streamAnswer(
  session: ChatSession,
  sample: ProcessorSample,
  { emit, signal, ...options }: AnswerOptions,
): Promise<Answer> {
  const reply = session.reply(sample, options);
  const stop = () => reply.stop();
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    for await (const { text } of reply) emit(text);
    const { text, finishReason, usage, stats } = await reply;
    return {
      text,
      tokens: usage.outputTokens,
      finishReason,
      ...stats,
      // maxRSS counts kibibytes.
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    };
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
