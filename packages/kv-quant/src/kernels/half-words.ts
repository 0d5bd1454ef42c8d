/**
 * int32 words from and to their halves (0 to 65535), in composed ops that are exact on a backend
 * with integer arithmetic. Only the two ops on whole words need that: halves fit into f32.
 */
import * as tf from '@tensorflow/tfjs-core';

/** @returns int32 words of float32 halves of the same shape. */
export function joinHalfWords(low: tf.Tensor, high: tf.Tensor): tf.Tensor {
  const negative = tf.cast(tf.greaterEqual(high, 32768), 'float32');
  const signed = tf.cast(tf.sub(high, tf.mul(negative, 65536)), 'int32'); // -32768 to 32767
  return tf.add(tf.mul(signed, int32(65536)), tf.cast(low, 'int32'));
}

/** @returns [low, high], float32 of the shape of `words`. */
export function splitHalfWords(words: tf.Tensor): [tf.Tensor, tf.Tensor] {
  const signed = tf.floorDiv(words, int32(65536)); // -32768 to 32767
  const low = tf.sub(words, tf.mul(signed, int32(65536)));
  const negative = tf.cast(tf.less(signed, int32(0)), 'float32');
  const high = tf.add(tf.cast(signed, 'float32'), tf.mul(negative, 65536));
  return [tf.cast(low, 'float32'), high];
}

function int32(value: number): tf.Scalar {
  return tf.scalar(value, 'int32');
}
