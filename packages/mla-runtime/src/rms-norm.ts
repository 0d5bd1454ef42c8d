/** Root mean square normalisation, x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019). */
import * as tf from '@tensorflow/tfjs-core';

/**
 * Normalise over the last dimension, with a gradient of its own: of n = x / sqrt(mean(x^2) + eps),
 * g = dY weight: dX = (g - n mean(g n)) / sqrt(mean(x^2) + eps), dWeight = sum(dY n).
 * @param x [..., D].
 * @param weight [D]; a constant unless it is a variable.
 * @returns [..., D]; the caller disposes it.
 */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, eps: number): T {
  const trained = weight instanceof tf.Variable;
  const norm = tf.customGrad((...args) => {
    const [x, save] = [args[0] as tf.Tensor, args.at(-1) as unknown as tf.GradSaveFunc];
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps)); // [..., 1]
    const normal = tf.mul(x, scale);
    save([normal, scale, weight]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [normal, scale, weight] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
      const g = tf.mul(dy, weight);
      const along = tf.mean(tf.mul(g, normal), -1, true); // [..., 1]
      const dx = tf.mul(tf.sub(g, tf.mul(normal, along)), scale);
      if (!trained) return dx;
      const leading = dy.shape.slice(0, -1).map((_, axis) => axis);
      return [dx, tf.sum(tf.mul(dy, normal), leading)];
    };
    return { value: tf.mul(normal, weight), gradFunc };
  });
  return tf.tidy(() => (trained ? norm(x, weight) : norm(x)) as T);
}
