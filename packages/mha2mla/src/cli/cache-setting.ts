/** The cache setting of a run: what the command line says, else what the model was stored with. */
import type { CacheBytes, CacheOptions } from '@mha2mla/mla-runtime';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { CacheFlags } from './shared-options';
import { asUsage } from './usage-error';

export interface CacheReport {
  /** Half of the tokens vision, half text. */
  cacheBytesPerToken: number;
  cacheBytesByModality: CacheBytes;
}

/**
 * @returns the setting, and the bytes a token in the stored format: 16 bits for what is not
 *   quantized.
 * @throws UsageError for bits by modality where all tokens share a cache, or bits that a method has
 *   not.
 */
export function cacheSetting(
  source: VlmSource,
  flags: CacheFlags = {},
): { cache: CacheOptions; report: CacheReport } {
  const cache = { ...source.cache, ...givenCache(flags) };
  const bytes = asUsage(() => cacheBytesPerToken(source.config.decoder, source.weights, cache));
  return {
    cache,
    report: {
      cacheBytesPerToken: (bytes.vision + bytes.text) / 2,
      cacheBytesByModality: bytes,
    },
  };
}

/** What of the setting a command line gives. */
export function givenCache({
  kvBits,
  ropeBits,
  kvLayers,
  kvMethod,
  residualLength,
}: CacheFlags): CacheOptions {
  const all = { kvBits, ropeBits, layers: kvLayers, kvMethod, residualLength };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
