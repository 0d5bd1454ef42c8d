/** A job as it lies in a queue. */
import { showJson } from '@mha2mla/checkpoint';
import type { Job, JobRuntime } from '../../jobs/job';
import { JobError } from '../../jobs/job-error';
import { parseJob } from '../../jobs/parse-job';

export interface QueueJob {
  job: Job;
  runtime: JobRuntime;
  /** Jobs that the run has in all. */
  total?: number;
}

/** @throws JobError `bad-job`, or `other-version` where this worker would make other bytes. */
export function parseQueueJob(data: unknown, own: JobRuntime): Job {
  const { job, runtime } = (data ?? {}) as Partial<QueueJob>;
  const { version, backend } = (runtime ?? {}) as Partial<JobRuntime>;
  if (version !== own.version || backend !== own.backend) {
    throw new JobError(
      'other-version',
      `worker: the run is of ${showJson(version)} on ${showJson(backend)}, this worker of ${showJson(own.version)} on ${showJson(own.backend)}. Install the same version here, and give the same --backend.`,
    );
  }
  return parseJob(job);
}

/** A job for people; what lies in a queue may be no job. */
export function nameOfJob(job: unknown): string {
  const { kind, layer } = (job ?? {}) as { kind?: unknown; layer?: unknown };
  return Number.isSafeInteger(layer) ? `${kind} of layer ${layer}` : String(kind);
}
