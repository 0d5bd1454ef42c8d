import { dequantize, type QuantSpec, quantize } from '@mha2mla/kv-quant';
import type * as tf from '@tensorflow/tfjs-core';

/** Write vectors to a cache, and read them; to be called within `tf.tidy`. */
export function throughCache<T extends tf.Tensor>(vectors: T, spec: QuantSpec): T {
  return dequantize(quantize(vectors, spec)) as T;
}
