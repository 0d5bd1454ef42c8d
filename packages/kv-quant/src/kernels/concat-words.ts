/** Kernel `ConcatWords`: join two int32 tensors of words along an axis, bit by bit. */
import * as tf from '@tensorflow/tfjs-core';
import { type HostKernel, registerHostKernel } from './host-kernel';
import { runKernel } from './run-kernel';

/**
 * Run the kernel.
 * @param a int32, any shape.
 * @param b int32, as a but for the size of `axis`.
 * @returns int32, the sizes of `axis` added.
 */
export function concatWords(a: tf.Tensor, b: tf.Tensor, axis: number): tf.Tensor {
  registerHostKernel('ConcatWords', hostConcatWords);
  const [joined] = runKernel('ConcatWords', { a, b }, { axis });
  return joined!;
}

const hostConcatWords: HostKernel = (inputs, attrs) => {
  const axis = attrs.axis as number;
  const [aShape, bShape] = [inputs.a!.shape, inputs.b!.shape];
  const shape = aShape.map((size, i) => (i === axis ? size + bShape[i]! : size));
  const outer = tf.util.sizeFromShape(shape.slice(0, axis));
  const aRow = tf.util.sizeFromShape(aShape.slice(axis));
  const bRow = tf.util.sizeFromShape(bShape.slice(axis));
  return {
    outputs: [{ shape, dtype: 'int32' }],
    run({ a, b }, [joined]) {
      for (let row = 0; row < outer; row++) {
        const start = row * (aRow + bRow);
        joined!.set(a!.subarray(row * aRow, (row + 1) * aRow), start);
        joined!.set(b!.subarray(row * bRow, (row + 1) * bRow), start + aRow);
      }
    },
  };
};
