import * as tf from '@tensorflow/tfjs-core';

/**
 * Concatenate along the last axis, leaving out parts of width zero (not every backend takes them). Call it
 * inside a tidy: where one part is all, it is the result.
 */
export function concatWidths<T extends tf.Tensor>(parts: readonly T[]): T {
  const wide = parts.filter((part) => part.shape[part.rank - 1]! > 0);
  if (wide.length < 2) return wide[0] ?? parts[0]!;
  return tf.concat(wide as T[], parts[0]!.rank - 1);
}
