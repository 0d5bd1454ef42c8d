/** Take jobs from a queue and do them in threads, until told to stop. */
import type { Job as QueuedJob, Worker } from 'bullmq';
import type { Engine } from '../../jobs/engine';
import type { JobRuntime } from '../../jobs/job';
import { importPeer } from './import-peer';
import { nameOfJob, parseQueueJob } from './queue-job';
import { redisPlace } from './redis-place';

/** Options of `queueWorker`. */
export interface QueueWorkerOptions {
  url: string;
  runtime: JobRuntime;
  /** Does the jobs; it is closed when the worker stops. */
  engine: Engine;
  /** Jobs that are done at once. */
  concurrency: number;
  signal: AbortSignal;
  /** A job begins, ends, or fails. */
  onJob?: (event: {
    job: string;
    state: 'active' | 'completed' | 'failed';
    reason?: string;
  }) => void;
  /** How long a job is this worker's without a sign of life. Default 30 s. */
  lockMs?: number;
}

/** Errors after which no job can be done here, while other machines may do it. */
const ENDS: readonly unknown[] = ['other-version', 'disk-full'];

/**
 * Resolves once `signal` has stopped it; a job under way goes back to the queue.
 * @throws JobError `other-version` at the first job of another version, CheckpointError `disk-full`
 *   where its content did not fit: both jobs go back; JobError `engine` for a server that does not
 *   answer.
 */
export async function queueWorker({
  url,
  runtime,
  engine,
  concurrency,
  signal,
  onJob,
  lockMs = 30_000,
}: QueueWorkerOptions): Promise<void> {
  const { Worker, UnrecoverableError, WaitingError } = await importPeer(
    () => import('bullmq'),
    'bullmq ioredis',
  );
  const place = redisPlace(url);
  const connection = await place.connect();
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  let ended: Error | undefined;
  const worker: Worker = new Worker(place.queue, work, {
    ...{ connection, concurrency, name: `${runtime.version}/${runtime.backend}` },
    ...{ lockDuration: lockMs, stalledInterval: lockMs, maxStalledCount: 5 },
  });
  worker.on('error', () => {}); // a server that is gone for a while
  worker.on('active', (job) => onJob?.({ job: nameOfJob(job.data?.job), state: 'active' }));
  worker.on('completed', (job) => onJob?.({ job: nameOfJob(job.data?.job), state: 'completed' }));
  worker.on('failed', (job, { message }) => {
    if (job && !stopped.aborted)
      onJob?.({ job: nameOfJob(job.data?.job), state: 'failed', reason: message });
  });
  try {
    if (!stopped.aborted) {
      await new Promise((resolve) => stopped.addEventListener('abort', resolve, { once: true }));
    }
    await engine.close(); // jobs under way end, and go back
    await worker.close();
  } finally {
    connection.disconnect();
  }
  if (ended) throw ended;

  async function work(queued: QueuedJob, token?: string): Promise<Record<string, never>> {
    try {
      await engine.run(parseQueueJob(queued.data, runtime));
      return {}; // what it left is in the store
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (ENDS.includes(code)) {
        ended ??= error as Error;
        stop.abort(error);
      }
      if (stopped.aborted) {
        await queued.moveToWait(token);
        throw new WaitingError();
      }
      if (code === 'bad-job') throw new UnrecoverableError((error as Error).message);
      throw error;
    }
  }
}
