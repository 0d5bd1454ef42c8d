/** What is going on in a queue of jobs. */
import type { Queue } from 'bullmq';
import { importPeer } from './import-peer';
import { redisPlace } from './redis-place';

export interface Counts {
  done: number;
  running: number;
  waiting: number;
  failed: number;
}

/** How far a run has come. */
export interface RunStatus extends Counts {
  run: string;
  /** Jobs in all; those that are known where the run did not tell. */
  total: number;
  /** By layer, in order; jobs before the first layer as `-`. */
  layers: (Counts & { layer: string })[];
  /** Jobs a second over the last minutes. */
  rate: number;
  secondsLeft?: number;
  /** Why jobs failed, each reason once. */
  failures: string[];
}

/** What a queue holds, and who works on it. */
export interface QueueStatus {
  engine: string;
  workers: { name: string; address: string }[];
  runs: RunStatus[];
  /** Whether there were more jobs than were looked at. */
  more: boolean;
}

/** A look at a queue, as often as wanted. */
export interface QueueWatch {
  /** How far its runs are now. */
  look(): Promise<QueueStatus>;
  /** Leave the queue. */
  close(): Promise<void>;
}

/** Newest jobs that are looked at in each state. */
const MOST_JOBS = 5000;
const RATE_S = 300;

const STATES = {
  done: ['completed'],
  running: ['active'],
  waiting: ['waiting', 'prioritized', 'delayed'],
  failed: ['failed'],
} as const;

/** @throws JobError `engine` for a server that does not answer. */
export async function watchQueue(url: string): Promise<QueueWatch> {
  const { Queue } = await importPeer(() => import('bullmq'), 'bullmq ioredis');
  const place = redisPlace(url);
  const connection = await place.connect();
  const queue: Queue = new Queue(place.queue, { connection });
  queue.on('error', () => {});
  return {
    async look() {
      const runs = new Map<string, Tally>();
      let more = false;
      for (const [state, types] of Object.entries(STATES)) {
        const jobs = await queue.getJobs([...types], 0, MOST_JOBS - 1);
        more ||= jobs.length >= MOST_JOBS;
        for (const job of jobs) tally(runs, state as keyof Counts, job);
      }
      const workers = (await queue.getWorkers()).map((worker) => ({
        name: worker.rawname?.split(':w:')[1] ?? worker.name ?? '',
        address: worker.addr ?? '',
      }));
      return { engine: place.name, workers, more, runs: [...runs].map(statusOf) };
    },
    async close() {
      await queue.close();
      connection.disconnect();
    },
  };
}

interface Tally {
  total: number;
  layers: Map<string, Counts>;
  finished: number[];
  failures: Set<string>;
}

type Looked = Awaited<ReturnType<Queue['getJobs']>>[number];

function tally(runs: Map<string, Tally>, state: keyof Counts, { data, ...job }: Looked): void {
  const name = String(data?.job?.run ?? '').slice(0, 64);
  const run: Tally = runs.get(name) ?? {
    ...{ total: 0, layers: new Map(), finished: [], failures: new Set() },
  };
  runs.set(name, run);
  if (Number.isSafeInteger(data?.total)) run.total = Math.max(run.total, data.total);
  const layer = Number.isSafeInteger(data?.job?.layer) ? String(data.job.layer) : '-';
  const counts = run.layers.get(layer) ?? { done: 0, running: 0, waiting: 0, failed: 0 };
  run.layers.set(layer, counts);
  counts[state]++;
  if (state === 'done' && job.finishedOn) run.finished.push(job.finishedOn);
  if (state === 'failed') run.failures.add(`${job.name}: ${job.failedReason}`);
}

function statusOf([run, { total, layers, finished, failures }]: [string, Tally]): RunStatus {
  const sum = (state: keyof Counts) =>
    [...layers.values()].reduce((count, counts) => count + counts[state], 0);
  const counts = {
    done: sum('done'),
    running: sum('running'),
    waiting: sum('waiting'),
    failed: sum('failed'),
  };
  const known = Object.values(counts).reduce((a, b) => a + b, 0);
  const rate = rateOf(finished);
  const left = Math.max(total, known) - counts.done;
  return {
    ...{ run, ...counts, total: Math.max(total, known), rate },
    ...(rate > 0 && { secondsLeft: left / rate }),
    layers: [...layers]
      .map(([layer, own]) => ({ layer, ...own }))
      .sort(
        (a, b) => Number(a.layer === '-' ? -1 : a.layer) - Number(b.layer === '-' ? -1 : b.layer),
      ),
    failures: [...failures],
  };
}

/** Jobs a second, of those that ended lately; 0 before two have. */
function rateOf(finished: readonly number[]): number {
  const newest = Math.max(...finished);
  const lately = finished.filter((time) => newest - time <= RATE_S * 1000);
  const first = Math.min(...lately);
  return lately.length < 2 || newest === first
    ? 0
    : ((lately.length - 1) * 1000) / (newest - first);
}
