/** Threads of this process that do jobs: the engine that needs no server. */
import { Worker } from 'node:worker_threads';
import type { Engine } from '../../jobs/engine';
import type { Job, JobOutputs } from '../../jobs/job';
import { JobError } from '../../jobs/job-error';
import { askThread } from '../ask-thread';
import type { JobThreadData } from './job-thread';

/** Options of `threadEngine`. */
export interface ThreadEngineOptions extends JobThreadData {
  /** Jobs that are done at once. */
  threads: number;
}

/** Threads start with the first job that needs them, and end with the engine. */
export function threadEngine({ threads, ...workerData }: ThreadEngineOptions): Engine {
  const idle: Worker[] = [];
  const running = new Set<Worker>();
  const waiting: Waiting[] = [];
  let closed = false;

  return {
    run(job, { priority = Number.MAX_SAFE_INTEGER } = {}) {
      if (closed) return Promise.reject(closedError());
      return new Promise((resolve, reject) => {
        const place = waiting.findIndex((other) => other.priority > priority);
        const entry = { job, priority, resolve, reject };
        waiting.splice(place < 0 ? waiting.length : place, 0, entry);
        startNext();
      });
    },
    async close() {
      closed = true;
      for (const { reject } of waiting.splice(0)) reject(closedError());
      await Promise.all([...idle, ...running].map((thread) => thread.terminate()));
    },
  };

  function startNext(): void {
    while (!closed && waiting.length > 0 && running.size < threads) {
      void work(waiting.shift()!);
    }
  }

  async function work({ job, resolve, reject }: Waiting): Promise<void> {
    const thread = idle.pop() ?? startThread(workerData);
    running.add(thread);
    try {
      resolve(await askThread<JobOutputs>(thread, job, { lost: lostThread(job) }));
      running.delete(thread);
      idle.push(thread);
    } catch (error) {
      running.delete(thread);
      void thread.terminate(); // what failed may have left it without memory
      reject(error);
    }
    startNext();
  }
}

interface Waiting {
  job: Job;
  priority: number;
  resolve: (outputs: JobOutputs) => void;
  reject: (reason: unknown) => void;
}

function closedError(): JobError {
  return new JobError('engine', 'threadEngine: the engine must be open, got a closed one.');
}

function startThread(workerData: JobThreadData): Worker {
  const thread = new Worker(new URL('./job-thread.js', import.meta.url), { workerData });
  // An idle thread that is lost takes no work with it; without a listener it would end the process.
  thread.on('error', () => {});
  return thread;
}

function lostThread(job: Job) {
  return (got: string, cause?: Error) =>
    new JobError('job-failed', `threadEngine: a thread must answer for ${job.kind}, got ${got}.`, {
      cause,
    });
}
