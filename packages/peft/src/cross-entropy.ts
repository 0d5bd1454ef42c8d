/**
 * Cross-entropy of next-token logits: sum_i w_i (-log softmax(z_i)[label_i]) / sum_i w_i.
 * The gradient (softmax - onehot) w_i / sum w is given, so that none of a gather is needed.
 */
import * as tf from '@tensorflow/tfjs-core';
import { normalizeWeights } from './normalize-weights';

/** What each row of logits counts. */
export interface RowWeights {
  /** [P], one weight a row, such as a 0/1 mask. Default: all 1. Taken as a constant. */
  weights?: tf.Tensor1D;
}

/**
 * @param logits [P, V] float32
 * @param labels [P] int32; a row with a label below 0 (HF's -100) takes no part.
 * @returns the mean over the rows that take part, a scalar; NaN if there is none. Caller disposes.
 * @throws RangeError if the shapes do not fit.
 */
export function crossEntropy(
  logits: tf.Tensor2D,
  labels: tf.Tensor1D,
  { weights }: RowWeights = {},
): tf.Scalar {
  if (logits.rank !== 2 || labels.rank !== 1 || labels.shape[0] !== logits.shape[0]) {
    throw new RangeError(
      `crossEntropy: logits must be [P, V] and labels [P], got [${logits.shape}] and [${labels.shape}].`,
    );
  }
  const rows = tf.customGrad((...args) => {
    const [z, save] = args as unknown as [tf.Tensor2D, tf.GradSaveFunc];
    const taken = tf.cast(tf.greaterEqual(labels, 0), 'float32');
    const share = normalizeWeights('crossEntropy', z.shape[0], weights, taken); // [P, 1]
    const logP = tf.logSoftmax(z);
    const target = tf.mul(tf.oneHot(labels, z.shape[1]), share); // [P, V]
    save([logP, target, share]);
    // A logit of -inf has log p = -inf; 0 * -inf would be NaN where the label is another.
    const hits = tf.where(tf.greater(target, 0), logP, tf.zerosLike(logP));
    const value = tf.neg(tf.sum(tf.mul(target, hits)));
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [logP, target, share] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      return tf.mul(dy, tf.sub(tf.mul(tf.exp(logP), share), target));
    };
    return { value, gradFunc };
  });
  return tf.tidy(() => rows(logits) as tf.Scalar);
}
