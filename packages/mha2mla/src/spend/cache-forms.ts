import { type CacheBits, type CacheOptions, methodBits } from '@mha2mla/mla-runtime';

/** How a search may store what is cached: bits of latents, and of rotary keys. */
export interface CacheForm {
  kvBits: CacheBits;
  ropeBits: CacheBits;
}

const ROPE_BITS = [16, 8, 4] as const;

/** The pairs of bits that a search looks at, the widest first: those that a setting leaves open. */
export function cacheForms({ kvMethod, ropeBits }: CacheOptions): CacheForm[] {
  const widths = [...methodBits(kvMethod), 16 as const].reverse();
  const rotary = ropeBits === undefined ? ROPE_BITS : [ropeBits];
  return widths.flatMap((kvBits) => rotary.map((own) => ({ kvBits, ropeBits: own })));
}

/** The pair that takes the fewest bytes. */
export function smallestForm(cache: CacheOptions): CacheForm {
  return cacheForms(cache).at(-1)!;
}
