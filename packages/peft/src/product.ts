/**
 * Matrix products whose operands may stand transposed. The flags of tf.matMul are free everywhere but
 * on wasm, where a product with one is 12 to 25 times slower ([960, 512] x [192, 512]^T: 55 ms against
 * 4.8 ms with the transpose made), and elsewhere a transpose that is made costs as much as a small
 * product. Wasm also packs the right operand anew in each product, so the narrow one stands there:
 * [24, 960] x [960, 192] takes 1.0 ms, the transpose of [192, 960] x [960, 24] 0.4.
 */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param a [..., M, I], or [..., I, M] with transposeA.
 * @param b [..., I, O], or [..., O, I] with transposeB.
 * @returns [..., M, O], zeros where I is 0; the caller disposes it.
 */
export function product(
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA = false,
  transposeB = false,
): tf.Tensor {
  if (a.shape.at(transposeA ? -2 : -1) === 0) return nothing(a, b, transposeA, transposeB);
  if (tf.getBackend() !== 'wasm') return tf.matMul(a, b, transposeA, transposeB);
  return tf.tidy(() => {
    if (transposeA && !transposeB && a.shape.at(-1)! < b.shape.at(-1)!) {
      return swapLast(tf.matMul(swapLast(b), a)); // (b^T a)^T
    }
    return tf.matMul(transposeA ? swapLast(a) : a, transposeB ? swapLast(b) : b);
  });
}

/** x with its last two axes exchanged. */
export function swapLast(x: tf.Tensor): tf.Tensor {
  const axes = x.shape.map((_, i) => i);
  return tf.transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}

/** A product over an inner size of 0, which is uninitialised memory on wasm. */
function nothing(a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean): tf.Tensor {
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(
    a.shape.slice(0, -2),
    b.shape.slice(0, -2),
  );
  return tf.zeros([...batch, a.shape.at(transposeA ? -1 : -2)!, b.shape.at(transposeB ? -2 : -1)!]);
}
