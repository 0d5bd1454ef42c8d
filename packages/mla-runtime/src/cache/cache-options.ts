import type { QuantizedCacheOptions, QuantSpec } from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';

export type CacheBits = 4 | 8 | 16;

/** Bits of a layer's cache. */
export interface LayerCacheBits {
  /**
   * Bits of latents (or of keys and values), for all tokens, or by modality where each has latents
   * of its own.
   */
  kvBits?: CacheBits | Partial<Record<'vision' | 'text', CacheBits>>;
  /** Bits of the rotary keys of a latent cache; 8 once `kvBits` is below 8, else as `kvBits`. */
  ropeBits?: CacheBits;
}

/** How a cache stores its vectors. Nothing given: f32, exact. */
export interface CacheOptions extends LayerCacheBits {
  /** Layers that have bits of their own, by number; what an entry leaves out follows from it alone. */
  layers?: Readonly<Record<number, LayerCacheBits>>;
  /** Channels that share a scale and a zero point. Default 32. */
  groupSize?: number;
  /** Tokens a sealed block. Default 256: long enough that a step reads few blocks. */
  blockLength?: number;
}

/** Resolve the options for one part of a segment in a layer. @throws RangeError on bad ones. */
export function cacheStorage(
  layer: number,
  segment: Segment,
  part: string,
  options: CacheOptions,
): QuantizedCacheOptions {
  const { groupSize = 32, blockLength = 256 } = options;
  if (!Number.isSafeInteger(blockLength) || blockLength < 1) {
    throw new RangeError(
      `CacheOptions: blockLength must be a positive integer, got ${blockLength}.`,
    );
  }
  const own = options.layers?.[layer] ?? options;
  const bits = part === 'kPe' ? ropeBitsOf(segment, own) : kvBitsOf(segment, own);
  return { spec: specOf(bits, groupSize), blockLength };
}

function specOf(bits: CacheBits | undefined, groupSize: number): QuantSpec | undefined {
  if (bits === undefined) return undefined;
  return bits === 16 ? { method: 'half' } : { method: 'affine', bits, groupSize };
}

function kvBitsOf(segment: Segment, { kvBits }: LayerCacheBits): CacheBits | undefined {
  if (typeof kvBits !== 'object') return kvBits;
  if (segment === 'all' && kvBits.vision !== kvBits.text) {
    throw new RangeError(
      `CacheOptions: kvBits must be one number where all tokens share a cache, got vision=${kvBits.vision}, text=${kvBits.text}.`,
    );
  }
  return segment === 'vision' ? kvBits.vision : kvBits.text;
}

function ropeBitsOf(segment: Segment, options: LayerCacheBits): CacheBits | undefined {
  if (options.ropeBits !== undefined) return options.ropeBits;
  const bits = kvBitsOf(segment, options);
  return bits !== undefined && bits < 8 ? 8 : bits;
}

/** @throws RangeError for bits of a layer that there is not, or bits that a segment cannot have. */
export function checkCacheOptions(
  options: CacheOptions,
  numLayers: number,
  segments: readonly Segment[],
): void {
  const unknown = Object.keys(options.layers ?? {}).find((layer) => !(Number(layer) < numLayers));
  if (unknown !== undefined) {
    throw new RangeError(
      `CacheOptions: layers must be numbers below ${numLayers}, got layer ${unknown}.`,
    );
  }
  for (let layer = 0; layer < numLayers; layer++) {
    for (const segment of segments) cacheStorage(layer, segment, 'kvLatent', options);
  }
}
