/** The cache setting of a run: what the command line says, else what the model was stored with. */
import type { CacheBytes, CacheOptions } from '@mha2mla/mla-runtime';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';

export interface CacheFlags {
  kvBits?: CacheOptions['kvBits'];
  ropeBits?: CacheOptions['ropeBits'];
}

export function cacheSetting(source: VlmSource, { kvBits, ropeBits }: CacheFlags): CacheOptions {
  const stored = source.cache;
  return {
    ...stored,
    ...(kvBits !== undefined && { kvBits }),
    ...(ropeBits !== undefined && { ropeBits }),
  };
}

export interface CacheReport {
  /** Half of the tokens vision, half text. */
  cacheBytesPerToken: number;
  cacheBytesByModality: CacheBytes;
}

/** Bytes a token in the stored format: 16 bits for what is not quantized. */
export function cacheReport(source: VlmSource, cache: CacheOptions): CacheReport {
  const bytes = cacheBytesPerToken(source.config.decoder, source.weights, cache);
  return {
    cacheBytesPerToken: (bytes.vision + bytes.text) / 2,
    cacheBytesByModality: bytes,
  };
}
