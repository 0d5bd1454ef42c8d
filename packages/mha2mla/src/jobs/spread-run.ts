/** What all runs by jobs are given. */
import type { Engine } from './engine';
import type { ModelRef } from './job';
import type { SharedStore } from './job-store';

export interface SpreadRun {
  engine: Engine;
  store: SharedStore;
  /** Names the run, 64 hex digits: the same for the same work, for no other. */
  run: string;
  /** The model as workers find it. */
  model: ModelRef;
  /** Once aborted, close the engine: it has jobs that nobody waits for. */
  signal?: AbortSignal;
  /** Jobs that are done, of those that there will be. */
  onProgress?: (progress: { phase: 'jobs'; loaded: number; total: number }) => void;
}

/** Rejects when a signal is aborted: jobs that others do are not waited for. */
export function abortion(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
