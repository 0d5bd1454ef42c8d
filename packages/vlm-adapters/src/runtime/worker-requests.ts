/** Requests to a worker that are under way, each of which ends once. */
import type { ReplyPart } from '../chat/reply';
import { fromErrorForm } from './error-form';
import { ModelError } from './model-error';
import type { Endpoint, FromWorker, ToWorker } from './worker-protocol';

type Value = Extract<FromWorker, { type: 'result' }>['value'];
type Unnumbered<T> = T extends { id: number } ? Omit<T, 'id'> : never;
type Request = Unnumbered<Extract<ToWorker, { type: 'describe' | 'load' | 'chat' | 'dispose' }>>;

export interface RequestListeners {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { phase: string; loaded: number; total: number }) => void) | undefined;
  onPart?: (part: ReplyPart) => void;
  onUsage?: (contextUsage: number) => void;
}

export interface WorkerRequests {
  /** @returns its number, and how it ends: rejecting with the signal's reason when that aborts. */
  send(request: Request, listeners?: RequestListeners): { id: number; ended: Promise<Value> };
  /** End an answer. */
  stop(id: number): void;
}

interface Pending extends RequestListeners {
  resolve(value: Value): void;
  reject(reason: unknown): void;
}

const known = new WeakMap<Endpoint, WorkerRequests>();

/** The requests of a worker, the same at every call: models in one worker share its messages. */
export function workerRequests(worker: Endpoint): WorkerRequests {
  const requests = known.get(worker) ?? listenTo(worker);
  known.set(worker, requests);
  return requests;
}

function listenTo(worker: Endpoint): WorkerRequests {
  const pending = new Map<number, Pending>();
  let last = 0;
  let failure: ModelError | undefined;
  worker.addEventListener('message', (event) => {
    const message = (event as MessageEvent<FromWorker>).data;
    const request = pending.get(message.id);
    if (!request) return;
    if (message.type === 'progress') return request.onProgress?.(message.progress);
    if (message.type === 'part') return request.onPart?.(message.part);
    if (message.type === 'usage') return request.onUsage?.(message.contextUsage);
    pending.delete(message.id);
    if (message.type === 'result') request.resolve(message.value);
    else if (message.type === 'abort') request.reject(request.signal?.reason);
    else request.reject(fromErrorForm(message.error));
  });
  const fail = (event: Event) => {
    failure = workerFailed(event);
    for (const { reject } of pending.values()) reject(failure);
    pending.clear();
  };
  for (const type of ['error', 'messageerror']) worker.addEventListener(type, fail);
  worker.start?.();
  return {
    send(request, listeners = {}) {
      const id = ++last;
      const ended = begin(id, request, listeners);
      return { id, ended };
    },
    stop: (id) => pending.has(id) && worker.postMessage({ type: 'stop', id }),
  };

  async function begin(id: number, request: Request, listeners: RequestListeners): Promise<Value> {
    const { signal } = listeners;
    signal?.throwIfAborted();
    if (failure) throw failure;
    const abort = () => worker.postMessage({ type: 'abort', id });
    worker.postMessage({ ...request, id }); // throws for what cannot be cloned
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<Value>((resolve, reject) => {
        pending.set(id, { ...listeners, resolve, reject });
      });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** The event of a script that is not there has no message. */
function workerFailed(event: Event): ModelError {
  const { message } = event as ErrorEvent;
  const why = message
    ? `got "${message}". Start a new worker and load the model again.`
    : 'got an error without a message. Is the address of its script right? After an update of the page, reload it.';
  return new ModelError(
    'worker-failed',
    `connectModel: the worker's script must load and run, ${why}`,
    {
      cause: (event as ErrorEvent).error,
    },
  );
}
