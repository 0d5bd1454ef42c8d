import { QuantizedCache } from '@mha2mla/kv-quant';
import type * as tf from '@tensorflow/tfjs-core';
import type { CachedVectors } from '../cache/layer-cache';

/** What is cached, block by block; exact blocks stay the cache's, so call it within a tidy. */
export function cachedBlocks(cache: CachedVectors): readonly tf.Tensor4D[] {
  const asTheyAre = cache instanceof QuantizedCache && cache.exact;
  return asTheyAre ? (cache.parts as readonly tf.Tensor4D[]) : cache.read<tf.Rank.R4>();
}
