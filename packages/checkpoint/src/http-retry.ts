/** When a request is sent again whose connection was lost. */

/** Before the first retry; twice as long before each further one, 3 seconds in all of five. */
const RETRY_DELAY_MS = 100;

/**
 * Wait before another attempt, or reject with the signal's reason.
 * @param cuts attempts in a row that brought nothing, from 1.
 */
export function retryPause(cuts: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const resume = () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    };
    const timer = setTimeout(resume, RETRY_DELAY_MS * 2 ** (cuts - 1));
    signal?.addEventListener('abort', abort, { once: true });
  });
}
