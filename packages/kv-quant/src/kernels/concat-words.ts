/**
 * Kernel `ConcatWords`: join two int32 tensors of words along an axis, bit by bit. tfjs's own concat
 * copies int32 on cpu, wasm and tensorflow; a backend that converts them registers this name.
 */
import * as tf from '@tensorflow/tfjs-core';
import { runKernel } from './run-kernel';

/**
 * @param a int32, any shape.
 * @param b int32, as a but for the size of `axis`.
 */
export function concatWords(a: tf.Tensor, b: tf.Tensor, axis: number): tf.Tensor {
  const [joined] = runKernel('ConcatWords', { a, b }, { axis }, () => [tf.concat([a, b], axis)]);
  return joined!;
}
