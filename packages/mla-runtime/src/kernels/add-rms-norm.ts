/** The sum of a residual and what a block gave, and its root mean square normalisation. */
import { registerHostKernel } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { NORM_MOST, normaliseRows, rmsNorm } from '../rms-norm';
import { takesHostVectors } from './host-vectors';

const KERNEL = 'AddRmsNorm';

/**
 * @param x [..., D].
 * @param delta [..., D], what is added.
 * @param weight [D].
 * @returns both of the shape of x; the caller disposes them.
 */
export function addRmsNorm<T extends tf.Tensor>(
  x: T,
  delta: T,
  weight: tf.Tensor1D,
  eps: number,
): { sum: T; normal: T } {
  if (!takesHostVectors(x.size, NORM_MOST)) {
    const sum = tf.add(x, delta) as T;
    return { sum, normal: rmsNorm(sum, weight, eps) };
  }
  registerHostKernel(KERNEL, ({ x: input }, attrs) => ({
    outputs: [
      { shape: input!.shape, dtype: 'float32' },
      { shape: input!.shape, dtype: 'float32' },
    ],
    run({ x, delta, weight }, [sum, normal]) {
      for (let i = 0; i < x!.length; i++) sum![i] = x![i]! + delta![i]!;
      normaliseRows(sum!, weight!, attrs.eps as number, normal!);
    },
  }));
  const [sum, normal] = tf.engine().runKernel(KERNEL, { x, delta, weight }, { eps }) as [T, T];
  return { sum, normal };
}
