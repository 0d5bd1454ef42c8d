import * as tf from '@tensorflow/tfjs-core';

/**
 * Replace the embeddings of image tokens by vision features, in order.
 * @param embeddings [B, L, D].
 * @param features [F, D], F the number of image tokens.
 * @param inputIds [B * L].
 * @returns [B, L, D]; the caller disposes it.
 * @throws RangeError when tokens and features differ in number.
 */
export function mergeEmbeddings(
  embeddings: tf.Tensor3D,
  features: tf.Tensor2D,
  inputIds: Int32Array,
  imageTokenId: number,
): tf.Tensor3D {
  const [batch, length, width] = embeddings.shape;
  let next = batch * length;
  const rows = Int32Array.from(inputIds, (id, i) => (id === imageTokenId ? next++ : i));
  const tokens = next - batch * length;
  if (tokens !== features.shape[0]) {
    throw new RangeError(
      `mergeEmbeddings: image tokens must equal image features, got ${tokens} tokens and ${features.shape[0]} features.`,
    );
  }
  return tf.tidy(() => {
    const flat = tf.reshape(embeddings, [batch * length, width]);
    const merged = tf.gather(tf.concat([flat, features], 0), tf.tensor1d(rows, 'int32'));
    return tf.reshape(merged, [batch, length, width]);
  });
}
