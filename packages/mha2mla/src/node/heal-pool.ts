/** Worker threads that compute the shards of healing updates, each with models of its own. */
import { Worker } from 'node:worker_threads';
import type { HealPlan } from '../heal/heal-options';
import type { Shard, ShardGradient, ShardRunner } from '../heal/shard-gradient';
import { askThread } from './ask-thread';
import type { BackendChoice } from './register-backends';

/** What a worker loads for itself. */
export interface HealWorkerData {
  model: string;
  teacher: string;
  data: string;
  limit?: number;
  plan: HealPlan;
  backend: BackendChoice;
}

export interface ShardRequest {
  shard: Shard;
  parameters: ReadonlyMap<string, Float32Array>;
}

/** Threads that work out gradients. */
export interface HealPool {
  runShard: ShardRunner;
  /** End the threads; a shard under way is given up. */
  close(): Promise<void>;
}

/** Start `workers` threads. Shards go to them in turn, so who computes what is always the same. */
export function healPool(workers: number, workerData: HealWorkerData): HealPool {
  const threads = Array.from({ length: workers }, () => startThread(workerData));
  return {
    runShard: (shard, parameters) => threads[shard.index % workers]!.ask({ shard, parameters }),
    async close() {
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

function startThread(workerData: HealWorkerData) {
  const worker = new Worker(new URL('./heal-worker.js', import.meta.url), { workerData });
  let failed: Error | undefined;
  let last: Promise<unknown> = Promise.resolve();
  worker.on('error', (error) => {
    failed = error;
  });
  const ended = 'healPool: a worker must answer, got its end instead.';
  const lost = (_: string, cause?: Error) => cause ?? failed ?? new Error(ended);
  const send = (request: ShardRequest) => askThread<ShardGradient>(worker, request, { lost });
  return {
    worker,
    /** One request at a time: a thread has one set of adapters. */
    ask(request: ShardRequest): Promise<ShardGradient> {
      const answer = last.then(() => send(request));
      last = answer.catch(() => {});
      return answer;
    },
  };
}
