/** An answer on its way: a promise of the whole, and an async iterable of its parts. */
import type { DecodedBy } from '@mha2mla/mla-runtime';

/** What a token adds to an answer. */
export interface ReplyPart {
  text: string;
  /** Tokens of the answer by now. */
  outputTokens: number;
  /** What the cache holds by now. */
  cachedTokens: CachedTokens;
}

/** Tokens that a cache holds. */
export interface CachedTokens {
  vision: number;
  text: number;
}

/** What an answer took. */
export interface ReplyStats {
  /** Absent where no token has come. */
  timeToFirstTokenMs?: number;
  /** Of the tokens that were not cached; 0 where no token has come. */
  prefillTokensPerSecond: number;
  /** 0 where no second token has come. */
  decodeTokensPerSecond: number;
  /** How tokens after the first were computed; absent where there are none. */
  decodedBy?: DecodedBy;
  /** What the cache holds now. */
  cachedTokens: CachedTokens;
  cacheBytesAllocated: number;
}

/** A whole answer, and why it ended. */
export interface ReplyResult {
  text: string;
  /** `length` where `maxTokens` or the context window ended it, `abort` where `stop()` did. */
  finishReason: 'stop' | 'length' | 'abort';
  usage: {
    /** Of the whole conversation. */
    inputTokens: number;
    /** Of those, what was cached already. */
    cachedInputTokens: number;
    /** End token included. */
    outputTokens: number;
  };
  stats: ReplyStats;
}

/** An answer on its way: a promise of all of it, and an iterable of its parts. */
export interface Reply extends Promise<ReplyResult>, AsyncIterable<ReplyPart> {
  /** End it: the promise then gives what has come. Leaving a loop over the parts does the same. */
  stop(): void;
}

/**
 * Start an answer; it runs whether or not anyone reads it.
 * @param run emits parts, and ends early on the signal.
 */
export function startReply(
  run: (emit: (part: ReplyPart) => void, stopping: AbortSignal) => Promise<ReplyResult>,
): Reply {
  const stopping = new AbortController();
  const parts: ReplyPart[] = [];
  let waiting: (() => void)[] = [];
  const wake = () => {
    for (const resolve of waiting) resolve();
    waiting = [];
  };
  const emit = (part: ReplyPart) => {
    parts.push(part);
    wake();
  };
  let isDone = false;
  const end = () => {
    isDone = true;
    wake();
  };
  const whole = run(emit, stopping.signal);
  // A loop over the parts throws as well, so that nobody need wait for the promise.
  const ended = whole.then(end, end);
  async function* iterate(): AsyncGenerator<ReplyPart> {
    try {
      for (let next = 0; ; ) {
        if (next < parts.length) yield parts[next++]!;
        else if (isDone) break;
        else await new Promise<void>((resolve) => waiting.push(resolve));
      }
      await whole;
    } finally {
      stopping.abort();
      await ended;
    }
  }
  return Object.assign(whole, {
    stop: () => stopping.abort(),
    [Symbol.asyncIterator]: iterate,
  });
}
