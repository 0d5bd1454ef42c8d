/** What all runs by jobs are given, and what they do beside the jobs, which are others' to do. */
import { copyBytes } from '../output/copy-files';
import type { ResultOutput } from '../output/result-output';
import type { Engine } from './engine';
import type { Job, JobOutputs, ModelRef } from './job';
import type { ContentRef, JobStore, SharedStore } from './job-store';

/** Who does a run's jobs, and over which store. */
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

/** A run under way. It ends with its first failure. */
export interface OpenRun {
  /** Hand a job to the engine. */
  run(job: Job, priority?: number): Promise<JobOutputs>;
  /** There will be so many jobs more. */
  expect(jobs: number): void;
  /** Write something here, which ends before {@link OpenRun.until} does. */
  write<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Wait for all of the run. @throws its first failure, or the signal's reason. */
  until<T>(work: Promise<T>): Promise<T>;
}

export function openRun({ engine, signal, onProgress }: SpreadRun): OpenRun {
  const ends = new AbortController();
  const ended = signal ? AbortSignal.any([signal, ends.signal]) : ends.signal;
  const writing = new Set<Promise<unknown>>();
  let [loaded, total] = [0, 0];
  return {
    async run(job, priority) {
      ended.throwIfAborted();
      const outputs = await engine.run(job, { priority, total });
      loaded++;
      onProgress?.({ phase: 'jobs', loaded, total });
      return outputs;
    },
    expect(jobs) {
      total += jobs;
    },
    async write(work) {
      ended.throwIfAborted();
      const written = work(ended);
      writing.add(written);
      return await written.finally(() => writing.delete(written));
    },
    async until(work) {
      try {
        return await Promise.race([work, abortion(signal)]);
      } catch (error) {
        ends.abort(error);
        await Promise.allSettled(writing);
        throw error;
      }
    },
  };
}

/** Copy a content to a run's result, unless an earlier run did. */
export async function takeContent(
  { write }: OpenRun,
  store: JobStore,
  ref: ContentRef,
  { output, name }: { output: ResultOutput; name: string },
): Promise<void> {
  if (await output.has(name)) return;
  await write(async (signal) => {
    const file = await store.open(ref, signal);
    await output.write(name, (sink) => copyBytes(file, sink));
  });
}

/** A promise that may fail before anybody waits for it; whoever does is told. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Rejects when a signal is aborted: jobs that others do are not waited for. */
function abortion(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
