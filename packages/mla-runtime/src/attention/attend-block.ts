/**
 * softmax(Q K + mask) V of a block of query rows, with a gradient of its own: of weights P, dP = dO V^T,
 *   dV = P^T dO;  dS = P (dP - sum(dP P));  dQ = dS K^T;  dK = Q^T dS
 */
import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import { reshaped } from './views';

/**
 * @param query [B, K, G * rows, H], scaled.
 * @param key [B, K, H, T].
 * @param value [B, K, T, V].
 * @param mask added to scores [B, N, rows, T], whose shape it is broadcast to; a constant.
 * @param heads N = K * G.
 * @returns [B, K, G * rows, V]; the caller disposes it.
 */
export function attendBlock(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  mask: tf.Tensor,
  heads: number,
): tf.Tensor {
  const [batch, keyHeads, rows] = query.shape as [number, number, number];
  const tokens = value.shape[2]!;
  const attend = tf.customGrad((...args) => {
    const [q, k, v, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    const scores = reshaped(stackedMatMul(q, k), [batch, heads, (keyHeads * rows) / heads, tokens]);
    const softmax = tf.softmax(tf.add(scores, mask));
    const weights = reshaped(softmax, [batch, keyHeads, rows, tokens]);
    save([q, k, v, weights]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [q, k, v, p] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const dp = stackedMatMul(dy, v, false, true); // [B, K, G * rows, T]
      const ds = tf.mul(tf.sub(dp, tf.sum(tf.mul(dp, p), -1, true)), p);
      return [
        stackedMatMul(ds, k, false, true),
        stackedMatMul(q, ds, true), // [B, K, H, T]
        stackedMatMul(p, dy, true), // [B, K, T, V]
      ];
    };
    return { value: stackedMatMul(weights, v), gradFunc };
  });
  return tf.tidy(() => attend(query, key, value));
}
