/**
 * DoRA (Liu et al., arXiv 2402.09353): the adapted weight V = W + s (B A)^T has its outputs scaled
 * to the norms m, W' = V m / |V|. As section 4.3 has it, and HF, the norm is a constant in the
 * backward pass: what is differentiated by V is V, not |V|.
 */
import * as tf from '@tensorflow/tfjs-core';

/** |V| of each output, [out], where V is [in, out]; 1 for an output of zeros, which stays zero. */
export function outputNorms(weight: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const norm = tf.sqrt(tf.sum(tf.square(weight), 0)) as tf.Tensor1D;
    return tf.where(tf.greater(norm, 0), norm, tf.onesLike(norm)) as tf.Tensor1D;
  });
}

/**
 * m / |V|, [out], differentiable by m.
 * @param weight makes V [in, out]; it is called off the tape.
 * @returns [out]; the caller disposes it.
 */
export function doraRatio(magnitude: tf.Tensor1D, weight: () => tf.Tensor2D): tf.Tensor1D {
  const ratio = tf.customGrad((...args) => {
    const [m, save] = args as unknown as [tf.Tensor1D, tf.GradSaveFunc];
    const norm = outputNorms(weight());
    save([norm]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => tf.div(dy, saved[0]!);
    return { value: tf.div(m, norm), gradFunc };
  });
  return tf.tidy(() => ratio(magnitude) as tf.Tensor1D);
}

/**
 * Scale the outputs of a map: x [..., out] times ratio [out].
 * @returns [..., out]; the caller disposes it.
 */
export function scaleOutputs(x: tf.Tensor, ratio: tf.Tensor1D): tf.Tensor {
  const scaled = tf.customGrad((...args) => {
    const [rows, share, save] = args as unknown as [tf.Tensor2D, tf.Tensor1D, tf.GradSaveFunc];
    save([rows, share]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [rows, share] = saved as [tf.Tensor2D, tf.Tensor1D];
      // A batch without pictures has no rows, and a sum over none is undefined on wasm.
      const byShare = rows.shape[0] === 0 ? tf.zeros(share.shape) : tf.sum(tf.mul(dy, rows), 0);
      return [tf.mul(dy, share), byShare];
    };
    return { value: tf.mul(rows, share), gradFunc };
  });
  return tf.tidy(() => {
    const width = ratio.shape[0];
    const rows = tf.reshape(x, [x.size / width, width]); // [n, out]
    return tf.reshape(scaled(rows, ratio), x.shape);
  });
}
