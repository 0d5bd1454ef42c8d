import { registerHostKernel } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { takesHostVectors } from './kernels/host-vectors';

const KERNEL = 'SiluGate';
/** Values at which a loop, of 10 ns an exponential, takes as long as the ops. */
const MOST = 2048;

/**
 * silu(x) * up, with a gradient of its own: of s = sigmoid(x), silu = x s,
 * silu' = s + x s (1 - s) = silu + s (1 - silu).
 * @param x of any shape, and up of the same.
 * @returns the shape of x; the caller disposes it.
 */
export function siluGate(x: tf.Tensor, up: tf.Tensor): tf.Tensor {
  if (!takesHostVectors(x.size, MOST)) return gate(x, up);
  registerHostKernel(KERNEL, ({ x: input }) => ({
    outputs: [{ shape: input!.shape, dtype: 'float32' }],
    run({ x, up }, [y]) {
      for (let i = 0; i < x!.length; i++) y![i] = (x![i]! * up![i]!) / (1 + Math.exp(-x![i]!));
    },
  }));
  return (tf.engine().runKernel(KERNEL, { x, up }) as tf.Tensor[])[0]!;
}

const gate = tf.customGrad((...args) => {
  const [x, up, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
  const s = tf.sigmoid(x);
  const silu = tf.mul(x, s);
  save([s, silu, up]);
  const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
    const [s, silu, up] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
    const slope = tf.add(silu, tf.mul(s, tf.sub(1, silu)));
    return [tf.mul(tf.mul(dy, up), slope), tf.mul(dy, silu)];
  };
  return { value: tf.mul(silu, up), gradFunc };
});
