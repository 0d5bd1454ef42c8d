import * as tf from '@tensorflow/tfjs-core';
import type { PackedMatrix } from './packed/packed-matrix';

/** Embeddings of all tokens, [vocabulary, D], dense or packed. */
export type EmbeddingTable = tf.Tensor2D | PackedMatrix;

export function isTensor(table: EmbeddingTable): table is tf.Tensor2D {
  return table instanceof tf.Tensor;
}

/**
 * Look up token embeddings.
 * @param table [vocabulary, D].
 * @param ids [B * L].
 * @returns [B, L, D]; the caller disposes it.
 * @throws RangeError for an id outside the vocabulary.
 */
export function lookupEmbeddings(
  table: EmbeddingTable,
  ids: Int32Array,
  [batch, length]: readonly [number, number],
): tf.Tensor3D {
  const [vocabulary, width] = isTensor(table) ? table.shape : [table.outputs, table.inputs];
  const outside = ids.find((id) => id < 0 || id >= vocabulary);
  if (outside !== undefined) {
    throw new RangeError(`lookupEmbeddings: ids must lie in [0, ${vocabulary}), got ${outside}.`);
  }
  return tf.tidy(() => {
    const rows = isTensor(table) ? tf.gather(table, tf.tensor1d(ids, 'int32')) : table.rows(ids);
    return tf.reshape(rows, [batch, length, width]);
  });
}
