/** The cache setting of a run: what the command line says, else what the model was stored with. */
import type { CacheBytes, CacheOptions } from '@mha2mla/mla-runtime';
import { cacheBytesPerToken, fitsLatents } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { CacheFlags } from './shared-options';
import { asUsage, UsageError } from './usage-error';

export interface CacheReport {
  /** Half of the tokens vision, half text. */
  cacheBytesPerToken: number;
  cacheBytesByModality: CacheBytes;
}

/**
 * @returns the setting, and the bytes a token in the stored format: 16 bits for what is not
 *   quantized.
 * @throws UsageError for bits by modality where all tokens share a cache, bits that a method has
 *   not, or others than latents were fitted to.
 */
export function cacheSetting(
  source: VlmSource,
  flags: CacheFlags = {},
): { cache: CacheOptions; report: CacheReport } {
  const cache = { ...source.cache, ...givenCache(flags) };
  checkFitted(source.cache, flags, cache.kvMethod);
  const bytes = asUsage(() => cacheBytesPerToken(source.config.decoder, source.weights, cache));
  return {
    cache,
    report: {
      cacheBytesPerToken: (bytes.vision + bytes.text) / 2,
      cacheBytesByModality: bytes,
    },
  };
}

/** Scales of latents are those of the bits that they were fitted to. */
function checkFitted(
  { kvMethod, kvBits, layers, latentSpecs }: CacheOptions,
  flags: CacheFlags,
  chosen: CacheOptions['kvMethod'],
): void {
  const same = (given: unknown, stored: unknown) =>
    given === undefined || JSON.stringify(given) === JSON.stringify(stored);
  if (!latentSpecs || !fitsLatents({ kvMethod: chosen })) return;
  if (same(flags.kvBits, kvBits) && same(flags.kvLayers, layers) && chosen === kvMethod) return;
  throw new UsageError(
    `cacheSetting: latents were fitted by --kv-method ${kvMethod} to their own bits, got others. Leave --kv-bits and --kv-layers out, give another --kv-method, or convert again.`,
  );
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
