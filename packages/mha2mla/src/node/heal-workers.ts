import { availableParallelism } from 'node:os';
import type { VlmSource } from '@mha2mla/vlm-adapters';

/** Memory of all threads together, beside what this one holds. */
const THREADS_BYTES = 3 * 2 ** 30;

/**
 * Threads of a healing where none are asked for: one a core, as far as memory holds the models as
 * often.
 * @param models that each thread loads, in float32.
 */
export function healWorkers(
  models: readonly Pick<VlmSource, 'checkpoint'>[],
  cores = availableParallelism(),
): number {
  const values = models
    .flatMap(({ checkpoint }) => [...checkpoint.tensors.values()])
    .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  return Math.max(1, Math.min(cores, Math.floor(THREADS_BYTES / (4 * values))));
}
