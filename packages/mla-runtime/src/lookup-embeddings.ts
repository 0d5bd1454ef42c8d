import * as tf from '@tensorflow/tfjs-core';

/**
 * Look up token embeddings.
 * @param table [vocabulary, D].
 * @param ids [B * L].
 * @returns [B, L, D]; the caller disposes it.
 * @throws RangeError for an id outside the vocabulary.
 */
export function lookupEmbeddings(
  table: tf.Tensor2D,
  ids: Int32Array,
  [batch, length]: readonly [number, number],
): tf.Tensor3D {
  const [vocabulary, width] = table.shape;
  const outside = ids.find((id) => id < 0 || id >= vocabulary);
  if (outside !== undefined) {
    throw new RangeError(`lookupEmbeddings: ids must lie in [0, ${vocabulary}), got ${outside}.`);
  }
  return tf.tidy(() => {
    const rows = tf.gather(table, tf.tensor1d(ids, 'int32'));
    return tf.reshape(rows, [batch, length, width]);
  });
}
