import { availableParallelism } from 'node:os';
import type { FactorJob } from '../convert/run-factor-job';

/**
 * Memory of all threads together, beside what the main thread holds. With 3 GiB there, as a conversion
 * has of a layer as wide as LLaVA-1.5-7B's, a run stays below 6 GiB.
 */
const THREADS_BYTES = 3 * 2 ** 30;

/**
 * Threads where none are asked for: one a core, as far as memory holds the largest job as often.
 * @param jobs of a layer.
 */
export function defaultWorkers(jobs: readonly FactorJob[], cores = availableParallelism()): number {
  return threadsThatFit(Math.max(...jobs.map(jobBytes)), cores);
}

/** One thread a core, as far as memory holds `bytes` as often; at least one. */
export function threadsThatFit(bytes: number, cores = availableParallelism()): number {
  return Math.max(1, Math.min(cores, Math.floor(THREADS_BYTES / bytes)));
}

/** As measured: the weight thrice in float64, then what `eigh` takes and three matrices like its. */
function jobBytes({ key, value, dIn }: FactorJob): number {
  const dOut = (key?.dOut ?? 0) + (value?.dOut ?? 0);
  return 8 * (3 * dOut * dIn + 8.4 * Math.min(dOut, dIn) ** 2);
}
