import type { CacheBits, CacheOptions } from '@mha2mla/mla-runtime';

/** How a search may store what is cached: bits of latents, and of rotary keys. */
export interface CacheForm {
  kvBits: CacheBits;
  ropeBits: CacheBits;
}

const KV_BITS = [16, 8, 4, 3, 2] as const;
const ROPE_BITS = [16, 8, 4] as const;

/** The pairs of bits that a search looks at, the widest first: those that a setting leaves open. */
export function cacheForms({ kvMethod, ropeBits }: CacheOptions): CacheForm[] {
  // The codebooks of lloyd-max go up to 4 bits.
  const widths = KV_BITS.filter((bits) => kvMethod !== 'lloyd-max' || bits !== 8);
  const rotary = ropeBits === undefined ? ROPE_BITS : [ropeBits];
  return widths.flatMap((kvBits) => rotary.map((own) => ({ kvBits, ropeBits: own })));
}

/** The pair that takes the fewest bytes. */
export function smallestForm(cache: CacheOptions): CacheForm {
  return cacheForms(cache).at(-1)!;
}
