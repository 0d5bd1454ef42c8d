import * as tf from '@tensorflow/tfjs-core';

/** Keys and values of the pieces of a prompt so far: each piece sees them and adds its own. */
export class PastTokens {
  /** [B, K, H, T] and [B, K, T, V]. */
  private tokens: { keys: tf.Tensor; values: tf.Tensor } | undefined;

  /** All of them with those of one more piece; they stay this object's. */
  extend(keys: tf.Tensor, values: tf.Tensor): { keys: tf.Tensor; values: tf.Tensor } {
    const before = this.tokens;
    this.tokens = {
      keys: tf.keep(before ? tf.concat([before.keys, keys], 3) : tf.clone(keys)),
      values: tf.keep(before ? tf.concat([before.values, values], 2) : tf.clone(values)),
    };
    if (before) tf.dispose(before);
    return this.tokens;
  }

  dispose(): void {
    if (this.tokens) tf.dispose(this.tokens);
    this.tokens = undefined;
  }
}
