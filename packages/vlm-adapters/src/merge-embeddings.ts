import * as tf from '@tensorflow/tfjs-core';

/**
 * Replace the embeddings of image (or video) tokens by vision features, in order.
 * @param embeddings [B, L, D].
 * @param features [F, D], F the number of such tokens; `undefined` for none.
 * @param inputIds [B * L].
 * @param kind of the tokens, for messages.
 * @returns [B, L, D]; the caller disposes it.
 * @throws RangeError when tokens and features differ in number.
 */
export function mergeEmbeddings(
  embeddings: tf.Tensor3D,
  features: tf.Tensor2D | undefined,
  inputIds: Int32Array,
  tokenId: number,
  kind: 'image' | 'video' = 'image',
): tf.Tensor3D {
  const [batch, length, width] = embeddings.shape;
  let next = batch * length;
  const rows = Int32Array.from(inputIds, (id, i) => (id === tokenId ? next++ : i));
  const tokens = next - batch * length;
  const count = features?.shape[0] ?? 0;
  if (tokens !== count) {
    throw new RangeError(
      `mergeEmbeddings: ${kind} tokens must equal ${kind} features, got ${tokens} tokens and ${count} features.`,
    );
  }
  if (!features || tokens === 0) return tf.clone(embeddings);
  return tf.tidy(() => {
    const flat = tf.reshape(embeddings, [batch * length, width]);
    const merged = tf.gather(tf.concat([flat, features], 0), tf.tensor1d(rows, 'int32'));
    return tf.reshape(merged, [batch, length, width]);
  });
}
