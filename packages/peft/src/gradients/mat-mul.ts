/**
 * Gradient of a (batched) matrix product. Transposes are made before the product, not by its flags:
 * on wasm a product with a transposed operand is 12 to 25 times slower ([960, 512] x [192, 512]^T:
 * 55 ms against 4.8 ms with the transpose made). It packs the right operand anew in each product:
 * [24, 960] x [960, 192] takes 1.0 ms, the transpose of [192, 960] x [960, 24] 0.4. Batch axes that
 * were broadcast are summed.
 * (Broadcast whole batches only: the kernels of wasm and cpu pair the matrices of [2, 1, ...] and
 * [2, 5, ...] wrongly, forward already.)
 */
import * as tf from '@tensorflow/tfjs-core';
import { sumToShape } from './sum-to-shape';

export const matMulGradients: tf.GradConfig[] = [
  {
    kernelName: tf.BatchMatMul,
    inputsToSave: ['a', 'b'],
    gradFunc: (dy, saved, attrs) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const { transposeA, transposeB } = attrs as unknown as tf.BatchMatMulAttrs;
      const dyT = () => swapLast(dy as tf.Tensor);
      const plainA = () => (transposeA ? swapLast(a) : a); // [..., L, D]
      const plainB = () => (transposeB ? swapLast(b) : b); // [..., D, M]
      const plainAT = () => (transposeA ? a : swapLast(a));
      const plainBT = () => (transposeB ? b : swapLast(b));
      return {
        // dA = dY B^T; of a stored transposed, dA^T = B dY^T
        a: () =>
          sumToShape(
            transposeA ? product(plainB(), dyT()) : product(dy as tf.Tensor, plainBT()),
            a.shape,
          ),
        // dB = A^T dY [..., D, M] = (dY^T A)^T, the narrower of A and dY on the right
        b: () => {
          const narrowA = a.shape.at(transposeA ? -2 : -1)! < (dy as tf.Tensor).shape.at(-1)!;
          const grad = narrowA
            ? product(dyT(), plainA()) // [..., M, D]
            : product(plainAT(), dy as tf.Tensor); // [..., D, M]
          return sumToShape(narrowA === transposeB ? grad : swapLast(grad), b.shape);
        },
      };
    },
  },
];

/** Zeros where the inner size is 0: the product of wasm is uninitialised memory then. */
function product(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  if (a.shape.at(-1) !== 0) return tf.matMul(a, b);
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(
    a.shape.slice(0, -2),
    b.shape.slice(0, -2),
  );
  return tf.zeros([...batch, a.shape.at(-2)!, b.shape.at(-1)!]);
}

function swapLast(x: tf.Tensor): tf.Tensor {
  const axes = x.shape.map((_, i) => i);
  return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}
