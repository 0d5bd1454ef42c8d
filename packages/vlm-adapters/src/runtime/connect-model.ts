/** A page's side of a model that runs in a worker: the same methods, and errors with their fields. */
import type { BackendName } from '@mha2mla/mla-runtime';
import { type Reply, type ReplyPart, type ReplyResult, startReply } from '../chat/reply';
import type { ChatMessage } from './chat-message';
import type { ChatRequestOptions, Model, ModelOptions, ModelSource } from './model';
import { DISPOSED, ModelError } from './model-error';
import type { Endpoint, Loaded } from './worker-protocol';
import { type WorkerRequests, workerRequests } from './worker-requests';

/**
 * Load a model in a worker whose script calls `serveModel`.
 * @param worker for any number of models; the caller ends it, after disposing them.
 * @param source a folder's http address, or its files.
 * @returns the model; the caller disposes it.
 * @throws what `loadModel` throws there, with its `name`, `message`, `code` and `cause`; ModelError
 *   `worker-failed` where the script is not there or throws.
 */
export async function connectModel(
  worker: Endpoint,
  source: ModelSource,
  { signal, onProgress, ...options }: ModelOptions = {},
): Promise<Model> {
  const requests = workerRequests(worker);
  const { id, ended } = requests.send(
    { type: 'load', source, options },
    { signal, onProgress: onProgress as ProgressListener },
  );
  const model = new RemoteModel(requests, id, (await ended) as Loaded);
  if (signal?.aborted) {
    await model.dispose();
    throw signal.reason;
  }
  return model;
}

type ProgressListener = (progress: { phase: string; loaded: number; total: number }) => void;

class RemoteModel implements Model {
  readonly backend: BackendName;
  readonly contextWindow: number;
  contextUsage = 0;
  private ended: Promise<void> | undefined;

  constructor(
    private readonly requests: WorkerRequests,
    private readonly model: number,
    { backend, contextWindow }: Loaded,
  ) {
    this.backend = backend;
    this.contextWindow = contextWindow;
  }

  chat(messages: readonly ChatMessage[], options: ChatRequestOptions = {}): Reply {
    return startReply(async (emit, stopping) => {
      if (this.ended) throw new ModelError('disposed', DISPOSED);
      return this.answer(messages, options, emit, stopping);
    });
  }

  private async answer(
    messages: readonly ChatMessage[],
    { signal, onProgress, ...options }: ChatRequestOptions,
    emit: (part: ReplyPart) => void,
    stopping: AbortSignal,
  ): Promise<ReplyResult> {
    const { model, requests } = this;
    const { id, ended } = requests.send(
      { type: 'chat', model, messages, options },
      {
        signal,
        onProgress: onProgress as ProgressListener,
        onPart: emit,
        onUsage: (contextUsage) => {
          this.contextUsage = contextUsage;
        },
      },
    );
    stopping.addEventListener('abort', () => requests.stop(id));
    const reply = (await ended) as ReplyResult;
    signal?.throwIfAborted();
    return reply;
  }

  dispose(): Promise<void> {
    this.ended ??= this.requests.send({ type: 'dispose', model: this.model }).ended.then(
      () => {},
      (error) => {
        if (error.code !== 'worker-failed') throw error; // all was freed with the worker
      },
    );
    return this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
