import * as tf from '@tensorflow/tfjs-core';

/** Concatenate along the last axis, leaving out parts of width zero (not every backend takes them). */
export function concatWidths<T extends tf.Tensor>(parts: readonly T[]): T {
  const wide = parts.filter((part) => part.shape[part.rank - 1]! > 0);
  if (wide.length === 0) return tf.clone(parts[0]!);
  return wide.length === 1 ? tf.clone(wide[0]!) : tf.concat(wide as T[], parts[0]!.rank - 1);
}
