import type { Job, JobOutputs } from './job';
import { type JobRunner, runJob } from './run-job';

/** Who does jobs: threads here, or machines elsewhere. */
export interface Engine {
  /**
   * Do a job, or take what an earlier run left.
   * @throws JobError `job-failed` after all tries, `engine` where the engine was closed.
   */
  run(job: Job, options?: RunJobOptions): Promise<JobOutputs>;
  /** Give up the jobs that are not done. */
  close(): Promise<void>;
}

/** Options of `Engine.run`. */
export interface RunJobOptions {
  /** From 1, the most urgent. */
  priority?: number;
  /** Jobs that the run has in all, for who watches it. */
  total?: number;
}

/** Do jobs one after the other on this thread: for tests and small models. */
export function inlineEngine(runner: JobRunner): Engine {
  const stop = new AbortController();
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(job) {
      const result = last.then(() => runJob(runner, job, stop.signal));
      last = result.catch(() => {});
      return result;
    },
    async close() {
      stop.abort();
      await last;
    },
  };
}
