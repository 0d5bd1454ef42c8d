/**
 * Worker threads that run the factor jobs of a layer, as many at once as asked. They end with the
 * layer: wasm memory never shrinks, and a thread's end gives it back. What a job computes does not
 * depend on the thread, so any number of them gives the same bytes.
 */
import { Worker } from 'node:worker_threads';
import { compileLinearAlgebra } from '@mha2mla/lowrank';
import * as tf from '@tensorflow/tfjs-core';
import { inlineRunner } from '../convert/inline-runner';
import type { FactorJob, FactorResult, FactorRunner } from '../convert/run-factor-job';
import { askThread } from './ask-thread';
import { defaultWorkers } from './default-workers';
import type { FactorWorkerData } from './factor-worker';
import { shareArrays } from './share-arrays';

/** Options of `factorPool`. */
export interface FactorPoolOptions {
  /** Threads at most. Default one a core, as far as 3 GiB hold their jobs. */
  workers?: number;
  /** Megaflops of a job, below which its layer is factored on this thread. */
  smallJob?: number;
}

/** Some 20 ms of work: a thread takes ten times that to start. */
const SMALL_MFLOP = 256;
/** On TensorFlow, which has threads of its own, and takes a second of CPU time to start in another. */
const SMALL_ON_TENSORFLOW = 128 * SMALL_MFLOP;

/** Backends that each thread can have for itself; a GPU is the main thread's. */
const THREADED_BACKENDS: readonly string[] = ['tensorflow', 'wasm', 'cpu'];

/**
 * @returns a runner for `convertModel`.
 * @throws (the runner) Error naming the job that failed, or whose thread was lost; the signal's
 *   reason when aborted. No thread is left behind.
 */
export function factorPool({ workers, smallJob }: FactorPoolOptions = {}): FactorRunner {
  return async (jobs, signal) => {
    const backend = jobs.some(({ route }) => route === 'subspace') ? tf.getBackend() : undefined;
    const here = backend !== undefined && !THREADED_BACKENDS.includes(backend);
    const small = smallJob ?? (backend === 'tensorflow' ? SMALL_ON_TENSORFLOW : SMALL_MFLOP);
    if (here || jobs.every((job) => megaflops(job) < small)) return inlineRunner(jobs, signal);
    const workerData = { module: await compileLinearAlgebra(), backend };
    const threads = Array.from(
      { length: Math.min(workers ?? defaultWorkers(jobs), jobs.length) },
      () => startThread(workerData),
    );
    const share = shareArrays();
    const results: FactorResult[] = [];
    const queue = jobs.entries(); // one for all threads: each takes the next job
    const work = async (thread: Worker) => {
      for (const [i, job] of queue) {
        signal?.throwIfAborted();
        const lost = (got: string, cause?: Error) => lostThread(job.name, got, cause);
        results[i] = await askThread(thread, share(job), { lost, signal });
      }
    };
    try {
      await Promise.all(threads.map(work));
      return results;
    } finally {
      await Promise.all(threads.map((thread) => thread.terminate()));
    }
  };
}

/** Of the products that dominate: W S, then its Gram matrix. */
function megaflops({ key, value, dIn }: FactorJob): number {
  const dOut = (key?.dOut ?? 0) + (value?.dOut ?? 0);
  return (2 * dOut * dIn * (dIn + dOut)) / 1e6;
}

function startThread(workerData: FactorWorkerData): Worker {
  const thread = new Worker(new URL('./factor-worker.js', import.meta.url), { workerData });
  // An idle thread that is lost takes no work with it; without a listener it would end the process.
  thread.on('error', () => {});
  return thread;
}

function lostThread(name: string, got: string, cause?: Error): Error {
  return new Error(
    `factorPool: a thread must answer for the factor of ${name}, got ${got}. Layers that were finished are kept: resume, with fewer workers where memory ran out.`,
    { cause },
  );
}
