import type { VlmSource } from '@mha2mla/vlm-adapters';
import { tensorElements } from '../output/tensor-sizes';
import { threadsThatFit } from './default-workers';

/**
 * Threads of a healing where none are asked for: one a core, as far as memory holds the models as
 * often.
 * @param models that each thread loads, in float32.
 */
export function healWorkers(
  models: readonly Pick<VlmSource, 'checkpoint'>[],
  cores?: number,
): number {
  const tensors = models.flatMap(({ checkpoint }) => [...checkpoint.tensors.values()]);
  return threadsThatFit(4 * tensorElements(tensors), cores);
}
