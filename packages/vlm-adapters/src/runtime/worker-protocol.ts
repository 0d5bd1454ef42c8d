/**
 * What passes between a page and the worker that its models run in. Each request has a number, may be
 * answered by any number of `progress`, `part` and `usage`, and ends in exactly one `result`, `error` or
 * `abort`.
 */
import type { BackendName } from '@mha2mla/mla-runtime';
import type { ReplyPart, ReplyResult } from '../chat/reply';
import type { WeightSizeOptions } from '../weight-sizes';
import type { ChatMessage } from './chat-message';
import type { ErrorForm } from './error-form';
import type { ChatRequestOptions, ModelOptions, ModelSource } from './model';
import type { ModelDescription } from './model-description';

type Unsent = 'signal' | 'onProgress';

export type ToWorker =
  | { type: 'describe'; id: number; source: ModelSource; options: WeightSizeOptions }
  | { type: 'load'; id: number; source: ModelSource; options: Omit<ModelOptions, Unsent> }
  | {
      type: 'chat';
      id: number;
      /** The number of the request that loaded it. */
      model: number;
      messages: readonly ChatMessage[];
      options: Omit<ChatRequestOptions, Unsent>;
    }
  | { type: 'dispose'; id: number; model: number }
  /** Give up a request: it ends in `abort`. */
  | { type: 'abort'; id: number }
  /** End an answer: it ends in a `result`. */
  | { type: 'stop'; id: number };

export interface Loaded {
  backend: BackendName;
  contextWindow: number;
}

export type FromWorker = { id: number } & (
  | { type: 'progress'; progress: { phase: string; loaded: number; total: number } }
  | { type: 'part'; part: ReplyPart }
  /** Tokens that the model holds, before an answer ends in any way. */
  | { type: 'usage'; contextUsage: number }
  | { type: 'result'; value: ModelDescription | Loaded | ReplyResult | undefined }
  | { type: 'error'; error: ErrorForm }
  | { type: 'abort' }
);

/** A worker, what a worker sees of its page, or one end of a `MessageChannel`. */
export interface Endpoint {
  /** As of `Worker`. */
  postMessage(message: unknown): void;
  /** As of `Worker`. */
  addEventListener(type: string, listener: (event: Event) => void): void;
  /** As of `Worker`. */
  removeEventListener(type: string, listener: (event: Event) => void): void;
  /** Of a port. */
  start?(): void;
}
