import type { Job, JobOutputs } from './job';
import { type JobRunner, runJob } from './run-job';

/** Who does jobs: threads here, or machines elsewhere. */
export interface Engine {
  /**
   * Do a job, or take what an earlier run left.
   * @throws JobError `job-failed` after all tries; the signal's reason.
   */
  run(job: Job, options?: RunJobOptions): Promise<JobOutputs>;
  close(): Promise<void>;
}

export interface RunJobOptions {
  /** From 1, the most urgent. */
  priority?: number;
  signal?: AbortSignal;
}

/** Do jobs one after the other on this thread: for tests and small models. */
export function inlineEngine(runner: JobRunner): Engine {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(job, { signal } = {}) {
      const result = last.then(() => runJob(runner, job, signal));
      last = result.catch(() => {});
      return result;
    },
    async close() {
      await last;
    },
  };
}
