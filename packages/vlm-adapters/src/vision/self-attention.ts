import * as tf from '@tensorflow/tfjs-core';

/**
 * Softmax attention in which every token sees every other of its picture.
 * @param query [pictures, tokens, heads, dim]; key and value alike.
 * @returns [pictures, tokens, heads * dim]; the caller disposes it.
 */
export function selfAttention(
  query: tf.Tensor4D,
  key: tf.Tensor4D,
  value: tf.Tensor4D,
): tf.Tensor3D {
  const [pictures, tokens, heads, dim] = query.shape;
  return tf.tidy(() => {
    const q = tf.transpose(tf.mul(query, dim ** -0.5), [0, 2, 1, 3]);
    const k = tf.transpose(key, [0, 2, 3, 1]);
    const v = tf.transpose(value, [0, 2, 1, 3]);
    const attended = tf.matMul(tf.softmax(tf.matMul(q, k)), v); // [pictures, heads, tokens, dim]
    return tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [pictures, tokens, heads * dim]);
  });
}
