import type * as tf from '@tensorflow/tfjs-core';

/** The values of an f32 tensor. */
export async function floats(tensor: tf.Tensor): Promise<Float32Array> {
  return (await tensor.data()) as Float32Array;
}
