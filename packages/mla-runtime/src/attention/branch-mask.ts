import * as tf from '@tensorflow/tfjs-core';
import { MASKED } from './causal-attention';

/**
 * Which keys lie on another branch than their query: several continuations of one beginning share
 * a row, and each sees the beginning and itself.
 * @param branches [B * L]: 0 on the trunk, which all see; else the branch's number in its row.
 * @returns [B, 1, L, L], 0 or MASKED; the caller disposes it.
 * @throws RangeError for another number of values.
 */
export function branchMask(
  branches: Int32Array,
  [batch, length]: readonly [number, number],
): tf.Tensor4D {
  if (branches.length !== batch * length) {
    throw new RangeError(
      `branchMask: branches must hold ${batch} x ${length} values, got ${branches.length}.`,
    );
  }
  const mask = new Float32Array(batch * length * length);
  for (let query = 0; query < batch * length; query++) {
    const row = Math.floor(query / length) * length;
    for (let key = 0; key < length; key++) {
      const branch = branches[row + key];
      if (branch !== 0 && branch !== branches[query]) mask[query * length + key] = MASKED;
    }
  }
  return tf.tensor4d(mask, [batch, 1, length, length]);
}
