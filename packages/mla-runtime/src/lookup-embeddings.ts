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
    if (!isTensor(table)) return tf.reshape(table.rows(ids), [batch, length, width]);
    // TensorFlow's gather takes 100 us for a single row, a slice 25.
    const rows =
      ids.length === 1
        ? tf.slice(table, [ids[0]!, 0], [1, width])
        : tf.gather(table, tf.tensor1d(ids, 'int32'));
    return tf.reshape(rows, [batch, length, width]);
  });
}
