/** The sum of a residual and what a block gave. */
import { registerHostKernel } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { takesHostVectors } from './host-vectors';

const KERNEL = 'AddRows';
/** Values at which a loop takes as long as an op. */
const MOST = 16384;

/**
 * @param x of any shape, and y of the same.
 * @returns the shape of x; the caller disposes it.
 */
export function addRows<T extends tf.Tensor>(x: T, y: T): T {
  if (!takesHostVectors(x.size, MOST)) return tf.add(x, y);
  registerHostKernel(KERNEL, ({ x: input }) => ({
    outputs: [{ shape: input!.shape, dtype: 'float32' }],
    run({ x, y }, [sum]) {
      for (let i = 0; i < x!.length; i++) sum![i] = x![i]! + y![i]!;
    },
  }));
  return (tf.engine().runKernel(KERNEL, { x, y }) as T[])[0]!;
}
