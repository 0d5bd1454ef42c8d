import type { Segment } from '../attention/attention';
import type { TokenStorage } from './token-blocks';

export type CacheBits = 4 | 8 | 16;

/** How a cache stores its vectors. Nothing given: f32, exact. */
export interface CacheOptions {
  /**
   * Bits of latents (or of keys and values), for all tokens, or by modality where each has latents
   * of its own.
   */
  kvBits?: CacheBits | Partial<Record<'vision' | 'text', CacheBits>>;
  /** Bits of the rotary keys of a latent cache; 8 once `kvBits` is below 8, else as `kvBits`. */
  ropeBits?: CacheBits;
  /** Channels that share a scale and a zero point. Default 32. */
  groupSize?: number;
  /** Tokens a sealed block. Default 256: long enough that a step reads few blocks. */
  blockLength?: number;
}

/** Resolve the options for one part of a segment. @throws RangeError on bad ones. */
export function cacheStorage(segment: Segment, part: string, options: CacheOptions): TokenStorage {
  const { groupSize = 32, blockLength = 256 } = options;
  if (!Number.isSafeInteger(blockLength) || blockLength < 1) {
    throw new RangeError(
      `CacheOptions: blockLength must be a positive integer, got ${blockLength}.`,
    );
  }
  const bits = part === 'kPe' ? ropeBitsOf(segment, options) : kvBitsOf(segment, options);
  return { bits, groupSize, blockLength };
}

function kvBitsOf(segment: Segment, { kvBits }: CacheOptions): CacheBits | undefined {
  if (typeof kvBits !== 'object') return kvBits;
  if (segment === 'all' && kvBits.vision !== kvBits.text) {
    throw new RangeError(
      `CacheOptions: kvBits must be one number where all tokens share a cache, got vision=${kvBits.vision}, text=${kvBits.text}.`,
    );
  }
  return segment === 'vision' ? kvBits.vision : kvBits.text;
}

function ropeBitsOf(segment: Segment, options: CacheOptions): CacheBits | undefined {
  if (options.ropeBits !== undefined) return options.ropeBits;
  const bits = kvBitsOf(segment, options);
  return bits !== undefined && bits < 8 ? 8 : bits;
}
