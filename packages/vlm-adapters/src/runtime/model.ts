/** A model that answers: the same in the thread that it runs in and in front of a worker. */
import type { BackendName, CacheOptions, WeightFormat } from '@mha2mla/mla-runtime';
import type { ReplyOptions } from '../chat/chat-session';
import type { Reply } from '../chat/reply';
import type { ChatMessage } from './chat-message';

/** A folder that can be named from outside of a worker: its http address, or its files. */
export type ModelSource = string | readonly File[];

/** How far loading has come; the total is known from the first call on. */
export interface LoadProgress {
  phase: 'load';
  /** Bytes of weights; the total is known before the first is read. */
  loaded: number;
  total: number;
}

/** What loading takes, here or in a worker. */
export interface ModelOptions {
  /** Default: the best that the application has imported. */
  backend?: BackendName | 'auto';
  /** How matrices are kept. Default f32, exact. */
  weights?: WeightFormat;
  /** Inputs that share a scale, of int8 and int4. Default 32. */
  groupSize?: number;
  /** How the conversation's cache stores. Default: as the model says. */
  cache?: CacheOptions;
  /** Of the machine, where it is known: a model that needs more is refused before it is read. */
  memoryBytes?: number;
  signal?: AbortSignal;
  /** Called as loading goes on, by phase. */
  onProgress?: (progress: LoadProgress) => void;
}

/** Options of `Model.chat`. */
export type ChatRequestOptions = Omit<ReplyOptions, 'random'>;

/** A model to talk with, in this thread or in a worker. */
export interface Model {
  /** The backend that it runs on. */
  readonly backend: BackendName;
  /** Tokens that a conversation may have. */
  readonly contextWindow: number;
  /** Tokens of the last conversation that are held: one that begins alike goes on behind them. */
  readonly contextUsage: number;
  /**
   * Answer a conversation; requests come one after another. What the last conversation begins alike
   * with is not run again, so a picture is encoded once for many questions.
   * @param messages the whole conversation. Pictures are read at once; they stay the caller's.
   * @returns at once: an async iterable of parts, and a promise of the whole. Leaving the loop, or
   *   `stop()`, ends the answer; the promise rejects with the signal's reason when that aborts, and
   *   with an error of `code` 'context-full' before any work where the conversation does not fit.
   */
  chat(messages: readonly ChatMessage[], options?: ChatRequestOptions): Reply;
  /** Stop what is running, wait for its end, and free all. A second call waits for the first. */
  dispose(): Promise<void>;
  /** `dispose`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
