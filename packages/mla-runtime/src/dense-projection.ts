/**
 * A frozen dense projection, y = x W + b, with W [inFeatures, outFeatures].
 *
 * Its gradient reaches x only: the weight is closed over, so that no gradient is computed for it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from './kernels/stacked-mat-mul';
import type { Projection } from './projection';

/**
 * Wrap a weight as a {@link Projection}, which then owns both tensors.
 * @param weight [inFeatures, outFeatures], f32.
 * @param bias [outFeatures], f32.
 */
export function denseProjection(weight: tf.Tensor2D, bias?: tf.Tensor1D): Projection {
  const [inFeatures, outFeatures] = weight.shape;
  if (bias !== undefined && bias.shape[0] !== outFeatures) {
    throw new RangeError(
      `denseProjection: bias must be [${outFeatures}] like the weight's outputs, got [${bias.shape}].`,
    );
  }
  return {
    inFeatures,
    outFeatures,
    bias,
    apply: (x) => tf.tidy(() => addBias(project(x, weight), bias)),
    weight: () => tf.clone(weight),
    dispose: () => {
      weight.dispose();
      bias?.dispose();
    },
  };
}

function addBias(y: tf.Tensor, bias: tf.Tensor1D | undefined): tf.Tensor {
  return bias === undefined ? y : tf.add(y, bias);
}

/** x [..., I] times weight [I, O], as one 2-D product. */
function project(x: tf.Tensor, weight: tf.Tensor2D): tf.Tensor {
  const [inFeatures, outFeatures] = weight.shape;
  if (x.shape[x.rank - 1] !== inFeatures) {
    throw new RangeError(
      `denseProjection: the last dimension of x must be ${inFeatures}, got x=[${x.shape}].`,
    );
  }
  if (x.size === 0 || outFeatures === 0) {
    return tf.zeros([...x.shape.slice(0, -1), outFeatures]);
  }
  const multiply = (rows: tf.Tensor) => stackedMatMul(rows, weight);
  const withGradient = tf.customGrad((input) => ({
    value: multiply(input as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => stackedMatMul(dy, weight, false, true),
  }));
  // A step without a tape need not pay for one.
  const product = tf.engine().isTapeOn() ? withGradient : multiply;
  if (x.rank === 2) return product(x);
  const flat = tf.reshape(x, [-1, inFeatures]); // [rows, I]
  return tf.reshape(product(flat), [...x.shape.slice(0, -1), outFeatures]);
}
