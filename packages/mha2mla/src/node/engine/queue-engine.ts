/**
 * Hand jobs to a queue of BullMQ on Redis, whose workers may be on any machine. Tries, their
 * spacing, lost workers and priorities are BullMQ's; a queue that a restarted server has lost is
 * filled again.
 */
import type { Queue, QueueEvents } from 'bullmq';
import type { Engine, RunJobOptions } from '../../jobs/engine';
import { type Job, type JobOutputs, type JobRuntime, jobKey } from '../../jobs/job';
import { JobError } from '../../jobs/job-error';
import type { SharedStore } from '../../jobs/job-store';
import { findOutputs } from '../../jobs/run-job';
import { importPeer } from './import-peer';
import { nameOfJob, type QueueJob } from './queue-job';
import { redisPlace } from './redis-place';

/** Options of `queueEngine`. */
export interface QueueEngineOptions {
  url: string;
  store: Pick<SharedStore, 'name' | 'ofRun'>;
  runtime: JobRuntime;
  /** How often a job is tried. Default 3. */
  attempts?: number;
  /** Pause after the first failure, doubled each time. Default 1 s. */
  backoffMs?: number;
  /** How often the queue is asked about jobs that nothing was heard of. Default 5 s. */
  sweepMs?: number;
}

/** Finished jobs stay so long, for dashboards; failed ones longer. */
const KEEP_DONE_S = 3600;
const KEEP_FAILED_S = 7 * 24 * 3600;

/** A server that is gone shall not hold whoever leaves. */
const CLOSE_MS = 1000;

/** A file of another machine may be seen a moment later. */
const RECORD_LOOKS = [0, 100, 400, 1500, 3000];

interface Pending extends RunJobOptions {
  key: string;
  job: Job;
  resolve: (outputs: JobOutputs) => void;
  reject: (reason: unknown) => void;
}

/** @throws JobError `engine` for a server that does not answer. */
export async function queueEngine(options: QueueEngineOptions): Promise<Engine> {
  const { url, store, runtime, attempts = 3, backoffMs = 1000, sweepMs = 5000 } = options;
  const { Queue, QueueEvents } = await importPeer(() => import('bullmq'), 'bullmq ioredis');
  const place = redisPlace(url);
  const connection = await place.connect();
  const queue: Queue = new Queue(place.queue, { connection });
  const events: QueueEvents = new QueueEvents(place.queue, { connection });
  // A server that is gone for a while: commands wait, and the sweep tells what became of jobs.
  queue.on('error', () => {});
  events.on('error', () => {});
  const pending = new Map<string, Pending>();
  const asked = new Map<string, Promise<JobOutputs>>();
  events.on('completed', ({ jobId }) => void finish(jobId));
  events.on('failed', ({ jobId, failedReason }) => fail(jobId, failedReason));
  const timer = setInterval(() => void sweep(), sweepMs);

  return {
    async run(job, own = {}) {
      const key = await jobKey(job, runtime);
      const done = await findOutputs(store.ofRun(job.run), key);
      if (done) return done;
      // Equal shards are one job.
      const outputs = asked.get(key) ?? ask({ ...own, key, job });
      asked.set(key, outputs);
      return outputs;
    },
    async close() {
      clearInterval(timer);
      const given = [...pending.keys()];
      const closed = new JobError(
        'engine',
        'queueEngine: the engine must be open, got a closed one.',
      );
      for (const key of given) settle(key)?.reject(closed);
      // What a worker has it may finish: the next run finds it.
      const removed = Promise.allSettled(given.map((key) => queue.remove(key)));
      await Promise.race([removed, new Promise((resolve) => setTimeout(resolve, CLOSE_MS))]);
      await Promise.all([events.close(), queue.close()]);
      connection.disconnect();
    },
  };

  function ask(job: Omit<Pending, 'resolve' | 'reject'>): Promise<JobOutputs> {
    return new Promise((resolve, reject) => {
      const entry = { ...job, resolve, reject };
      pending.set(entry.key, entry);
      add(entry).catch((error) => settle(entry.key)?.reject(error));
    });
  }

  async function add({ key, job, priority, total }: Pending): Promise<void> {
    const old = await queue.getJob(key);
    // What an earlier run left: a failure to be tried again, or an end whose record is gone.
    if (old && ((await old.isFailed()) || (await old.isCompleted()))) await old.remove();
    const data: QueueJob = { job, runtime, total };
    await queue.add(job.kind, data, {
      ...{ jobId: key, priority, attempts },
      backoff: { type: 'exponential', delay: backoffMs },
      removeOnComplete: { age: KEEP_DONE_S },
      removeOnFail: { age: KEEP_FAILED_S },
    });
  }

  function settle(key: string): Pending | undefined {
    const entry = pending.get(key);
    pending.delete(key);
    asked.delete(key);
    return entry;
  }

  async function finish(key: string): Promise<void> {
    const entry = pending.get(key);
    if (!entry) return;
    try {
      const outputs = await recordOf(entry);
      settle(key)?.resolve(outputs);
    } catch (error) {
      settle(key)?.reject(error);
    }
  }

  async function recordOf({ key, job }: Pending): Promise<JobOutputs> {
    for (const wait of RECORD_LOOKS) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      const outputs = await findOutputs(store.ofRun(job.run), key);
      if (outputs) return outputs;
    }
    throw new JobError(
      'engine',
      `queueEngine: what ${nameOfJob(job)} left must be in ${store.name}, got nothing there. Do all workers have the same --store?`,
    );
  }

  function fail(key: string, reason: string): void {
    const entry = settle(key);
    entry?.reject(
      new JobError(
        'job-failed',
        `${nameOfJob(entry.job)} failed ${attempts} times, last with: ${reason}`,
      ),
    );
  }

  /** Ask about jobs that nothing was heard of. */
  async function sweep(): Promise<void> {
    for (const [key, entry] of [...pending]) {
      try {
        const found = await queue.getJob(key);
        if (!found) await add(entry);
        else if (await found.isCompleted()) await finish(key);
        else if (await found.isFailed()) fail(key, found.failedReason);
      } catch {
        return; // the server is gone; the next sweep asks again
      }
    }
  }
}
