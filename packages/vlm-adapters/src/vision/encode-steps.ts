/**
 * Encoding that can be paused: a generator that yields after each layer of a tower. Run to its end
 * at once it is a plain function; run with pauses it leaves the thread to others, and can be given up.
 */
import { yieldToEventLoop } from '@mha2mla/mla-runtime';

/** Layers that have run, of all. */
export interface LayersDone {
  loaded: number;
  total: number;
}

/** What a generator holds between two layers it disposes, also where it is returned early. */
export type EncodeSteps<T> = Generator<LayersDone, T>;

export interface RunStepsOptions {
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'vision' } & LayersDone) => void;
}

/** Run all at once. */
export function runAtOnce<T>(steps: EncodeSteps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * Run with a macrotask between two layers.
 * @throws the signal's reason when aborted.
 */
export async function runPaused<T>(
  steps: EncodeSteps<T>,
  { signal, onProgress }: RunStepsOptions = {},
): Promise<T> {
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = steps.next();
      if (done) return value;
      onProgress?.({ phase: 'vision', ...value });
      await yieldToEventLoop();
    }
  } catch (error) {
    steps.return(undefined as T);
    throw error;
  }
}
