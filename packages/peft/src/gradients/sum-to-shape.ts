import * as tf from '@tensorflow/tfjs-core';

/** Undo broadcasting: sum `dy` over the axes along which an input of `shape` was repeated. */
export function sumToShape(dy: tf.Tensor, shape: number[]): tf.Tensor {
  // The native backend copies what it reshapes.
  if (tf.util.arraysEqual(dy.shape, shape)) return tf.clone(dy);
  const axes = tf.broadcast_util.getReductionAxes(shape, dy.shape);
  const summed = axes.length > 0 ? tf.sum(dy, axes) : dy;
  return tf.reshape(summed, shape);
}
