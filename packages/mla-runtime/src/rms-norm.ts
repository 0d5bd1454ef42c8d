/** Root mean square normalisation, x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019). */
import { registerHostKernel } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { takesHostVectors } from './kernels/host-vectors';

const KERNEL = 'RmsNorm';
/** Values at which a loop takes as long as the ops: four rows of 4096. */
export const NORM_MOST = 16384;

/**
 * Normalise over the last dimension, with a gradient of its own: of n = x / sqrt(mean(x^2) + eps),
 * g = dY weight: dX = (g - n mean(g n)) / sqrt(mean(x^2) + eps), dWeight = sum(dY n).
 * @param x [..., D].
 * @param weight [D]; a constant unless it is a variable.
 * @returns [..., D]; the caller disposes it.
 */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, eps: number): T {
  if (takesHostVectors(x.size, NORM_MOST)) return normaliseOnHost(x, weight, eps);
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

function normaliseOnHost<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, eps: number): T {
  registerHostKernel(KERNEL, ({ x: input }, attrs) => ({
    outputs: [{ shape: input!.shape, dtype: 'float32' }],
    run: ({ x, weight }, [y]) => normaliseRows(x!, weight!, attrs.eps as number, y!),
  }));
  return (tf.engine().runKernel(KERNEL, { x, weight }, { eps }) as T[])[0]!;
}

type Values = Float32Array | Int32Array;

/** Normalise rows of x, as many values as `weight` has, into y. */
export function normaliseRows(x: Values, weight: Values, eps: number, y: Values): void {
  const width = weight.length;
  for (let start = 0; start < x.length; start += width) {
    let squares = 0;
    for (let i = start; i < start + width; i++) squares += x[i]! * x[i]!;
    const scale = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) y[start + i] = x[start + i]! * scale * weight[i]!;
  }
}
