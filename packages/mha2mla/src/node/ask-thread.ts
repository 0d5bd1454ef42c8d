import type { Worker } from 'node:worker_threads';

/** What a thread answers to a request. */
export type ThreadReply<T> = { result: T } | { error: Error; code?: unknown };

export interface AskOptions {
  /** The error where the thread ended in the place of an answer. @param got what came instead. */
  lost: (got: string, cause?: Error) => Error;
  signal?: AbortSignal;
}

/**
 * Send a request to a thread that has no other under way.
 * @returns the result of its {@link ThreadReply}.
 * @throws the error of its reply, `lost`, or the signal's reason.
 */
export function askThread<T>(
  thread: Worker,
  request: unknown,
  { lost, signal }: AskOptions,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (reply: ThreadReply<T>) => {
      forget();
      if ('error' in reply) reject(Object.assign(reply.error, { code: reply.code }));
      else resolve(reply.result);
    };
    const fail = (cause: unknown) => {
      forget();
      reject(cause);
    };
    const failed = (cause: Error) => fail(lost(cause.message, cause));
    const ended = (code: number) => fail(lost(`its end with code ${code}`));
    const aborted = () => fail(signal!.reason);
    const forget = () => {
      thread.off('message', settle).off('error', failed).off('exit', ended);
      signal?.removeEventListener('abort', aborted);
    };
    if (thread.threadId === -1) {
      fail(lost('its end before'));
      return;
    }
    thread.on('message', settle).on('error', failed).on('exit', ended);
    signal?.addEventListener('abort', aborted);
    thread.postMessage(request);
  });
}

/** Answer a request in a thread, whatever becomes of it. */
export async function replyOf<T>(work: () => Promise<T>): Promise<ThreadReply<T>> {
  try {
    return { result: await work() };
  } catch (error) {
    if (!(error instanceof Error)) return { error: new Error(String(error)) };
    const { code } = error as { code?: unknown };
    return { error, code }; // copies of errors have lost it
  }
}
