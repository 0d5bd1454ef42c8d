import type { QuantizedCache } from '@mha2mla/kv-quant';
import type * as tf from '@tensorflow/tfjs-core';

/** What is cached, block by block; exact blocks stay the cache's, so call it within a tidy. */
export function cachedBlocks(cache: QuantizedCache): readonly tf.Tensor4D[] {
  return cache.exact ? (cache.parts as readonly tf.Tensor4D[]) : cache.read<tf.Rank.R4>();
}
