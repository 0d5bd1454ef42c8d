import * as tf from '@tensorflow/tfjs-core';

/** @param a [m, n]; run inside `tf.tidy`. @returns aᵀa [n, n]: of wide ones, most of what is below the diagonal is copied. */
export function gramOnDevice(a: tf.Tensor2D): tf.Tensor2D {
  const n = a.shape[1];
  if (n < 1024) return tf.matMul(a, a, true);
  const half = n >> 1;
  const [left, right] = tf.split(a, [half, n - half], 1) as [tf.Tensor2D, tf.Tensor2D];
  const corner: tf.Tensor2D = tf.matMul(left, right, true);
  return tf.concat([
    tf.concat([gramOnDevice(left), corner], 1),
    tf.concat([tf.transpose(corner), gramOnDevice(right)], 1),
  ]);
}
