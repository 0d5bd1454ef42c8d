/** Kernel `SliceWords`: a range of an axis of an int32 tensor of words, bit by bit. */
import * as tf from '@tensorflow/tfjs-core';
import { registerHostKernel } from './host-kernel';
import { runKernel } from './run-kernel';

/**
 * Run the kernel.
 * @param x int32, any shape.
 * @param begin first place on `axis`.
 * @param size how many.
 * @returns int32, x's shape but `size` on `axis`.
 */
export function sliceWords(x: tf.Tensor, axis: number, begin: number, size: number): tf.Tensor {
  registerHostKernel('SliceWords', (inputs, attrs) => {
    const at = attrs as { axis: number; begin: number; size: number };
    const from = inputs.x!.shape;
    const shape = from.map((length, i) => (i === at.axis ? at.size : length));
    const outer = tf.util.sizeFromShape(from.slice(0, at.axis));
    const inner = tf.util.sizeFromShape(from.slice(at.axis + 1));
    return {
      outputs: [{ shape, dtype: 'int32' }],
      run({ x: words }, [slice]) {
        for (let row = 0; row < outer; row++) {
          const start = (row * from[at.axis]! + at.begin) * inner;
          slice!.set(words!.subarray(start, start + at.size * inner), row * at.size * inner);
        }
      },
    };
  });
  const [slice] = runKernel('SliceWords', { x }, { axis, begin, size });
  return slice!;
}
