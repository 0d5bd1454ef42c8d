/**
 * Which ops a pass may take. Some of ours are faster and have no gradient, and round differently: what
 * a tape will compute again has to be computed by the others.
 */
import * as tf from '@tensorflow/tfjs-core';

let depth = 0;

/** Whether ops must be those of a tape. */
export function isOnTape(): boolean {
  return depth > 0 || tf.engine().isTapeOn();
}

/**
 * Compute something without a tape as one would, to the bit, such as the first pass of gradient
 * checkpointing.
 * @param work synchronous.
 */
export function asOnTape<T>(work: () => T): T {
  depth++;
  try {
    return work();
  } finally {
    depth--;
  }
}
