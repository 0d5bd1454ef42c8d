import { QuantizedCache } from '@mha2mla/kv-quant';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';

/** A cache of 4 bits a value: its bytes, and whether it holds what was put in. */
export async function use() {
  const keys = tf.reshape(tf.sin(tf.range(0, 64 * 32)), [1, 1, 64, 32]); // [B, heads, T, C]
  const cache = new QuantizedCache({ spec: { method: 'affine', bits: 4, axis: 'channel' } });
  cache.append(keys);
  const error = tf.max(tf.abs(tf.sub(tf.concat([...cache.read()], 2), keys)));
  const { codes, params } = cache.bytes.nominal;
  return [codes, params, (await error.data())[0]! < 1 / 15]; // [1024, 256, true]
}
