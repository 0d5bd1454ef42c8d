/**
 * Knowledge distillation (Hinton et al., arXiv 1503.02531): T^2 KL(p || q), p = softmax(teacher / T),
 * q = softmax(student / T), a mean over rows. The factor T^2 is in: gradients keep their size as T
 * grows. The gradient T (q - p) w_i / sum w is given; the teacher is a constant.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { RowWeights } from './cross-entropy';
import { normalizeWeights } from './normalize-weights';

/** Options of `distillationLoss`. */
export interface DistillationOptions extends RowWeights {
  /** Above 0. Default 1. */
  temperature?: number;
}

/**
 * @param studentLogits [P, V]
 * @param teacherLogits [P, V], a constant
 * @returns T^2 sum_i w_i KL_i / sum_i w_i, a scalar that the caller disposes.
 * @throws RangeError if the shapes differ or the temperature is not above 0.
 */
export function distillationLoss(
  studentLogits: tf.Tensor2D,
  teacherLogits: tf.Tensor2D,
  { temperature = 1, weights }: DistillationOptions = {},
): tf.Scalar {
  const shape = studentLogits.shape;
  if (studentLogits.rank !== 2 || !tf.util.arraysEqual(shape, teacherLogits.shape)) {
    throw new RangeError(
      `distillationLoss: both logits must be [P, V], got [${shape}] and [${teacherLogits.shape}].`,
    );
  }
  if (!(temperature > 0)) {
    throw new RangeError(
      `distillationLoss: temperature must be above 0, got temperature=${temperature}.`,
    );
  }
  const loss = tf.customGrad((...args) => {
    const [student, save] = args as unknown as [tf.Tensor2D, tf.GradSaveFunc];
    const share = normalizeWeights('distillationLoss', student.shape[0], weights); // [P, 1]
    const logP = tf.logSoftmax(tf.div(teacherLogits, temperature));
    const logQ = tf.logSoftmax(tf.div(student, temperature));
    const p = tf.exp(logP);
    // Where p is 0 (a teacher's logit of -inf) the term is 0, not 0 * inf.
    const gap = tf.where(tf.greater(p, 0), tf.sub(logP, logQ), tf.zerosLike(p));
    const value = tf.mul(tf.sum(tf.mul(tf.mul(p, gap), share)), temperature ** 2);
    save([tf.mul(tf.sub(tf.exp(logQ), p), tf.mul(share, temperature))]);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, saved[0]!) };
  });
  return tf.tidy(() => loss(studentLogits) as tf.Scalar);
}
