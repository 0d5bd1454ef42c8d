/**
 * Layer-wise distillation on outputs: sum_i w_i |s_i - t_i|^2 / sum_i w_i |t_i|^2, the relative
 * squared error of a layer. Needs no labels, and is 0 to 1 for any sensible initialisation.
 * The gradient 2 w_i (s_i - t_i) / sum_j w_j |t_j|^2 is given; the teacher is a constant.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Options of `outputMatchingLoss`. */
export interface OutputMatchingOptions {
  /** The shape of the outputs without the last axis, such as [B, L]: padding 0. Default: all 1. */
  mask?: tf.Tensor;
}

/**
 * @param student [..., D]
 * @param teacher [..., D], a constant
 * @returns a scalar that the caller disposes.
 * @throws RangeError if the shapes do not fit.
 */
export function outputMatchingLoss(
  student: tf.Tensor,
  teacher: tf.Tensor,
  { mask }: OutputMatchingOptions = {},
): tf.Scalar {
  if (student.rank === 0 || !tf.util.arraysEqual(student.shape, teacher.shape)) {
    throw new RangeError(
      `outputMatchingLoss: both outputs must be [..., D], got [${student.shape}] and [${teacher.shape}].`,
    );
  }
  const rows = student.shape.slice(0, -1);
  if (mask && !tf.util.arraysEqual(mask.shape, rows)) {
    throw new RangeError(`outputMatchingLoss: mask must be [${rows}], got [${mask.shape}].`);
  }
  const loss = tf.customGrad((...args) => {
    const [s, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc];
    const w = mask ? tf.expandDims(tf.cast(mask, 'float32'), -1) : undefined; // [..., 1]
    const masked = (x: tf.Tensor) => (w ? tf.mul(x, w) : x);
    const gap = tf.sub(s, teacher);
    const total = tf.sum(masked(tf.square(teacher)));
    const value = tf.div(tf.sum(masked(tf.square(gap))), total);
    save([tf.div(tf.mul(masked(gap), 2), total)]);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, saved[0]!) };
  });
  return tf.tidy(() => loss(student) as tf.Scalar);
}
