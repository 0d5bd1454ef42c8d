import {
  QuantizedCache,
  type QuantizedCacheOptions,
  type QuantSpec,
  type StaticSpec,
} from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';

/** Bits that a cached value may have; beside these there is float32. */
export const CACHE_BITS = [2, 3, 4, 8, 16] as const;
/** A member of `CACHE_BITS`. */
export type CacheBits = (typeof CACHE_BITS)[number];

/**
 * How fewer than 16 bits are found. `affine`: scales and zero points of a token's channels. `hqq`:
 * the same, fitted. `kivi`: those of a channel's tokens, but for values. `lloyd-max`: codebooks of
 * 2, 3 and 4 bits for Gaussians, after a Hadamard rotation. `int8`: 8 bits about zero, one scale a
 * token. Rotary keys of bits that a method has not are affine.
 * `static`, `bands`: latents by scales that a conversion fitted, of one width or of 8, 4, 2 and 0
 * bits by turns; rotary keys are affine.
 */
export const CACHE_METHODS = [
  'affine',
  'kivi',
  'hqq',
  'lloyd-max',
  'int8',
  'static',
  'bands',
] as const;
/** A member of `CACHE_METHODS`. */
export type CacheMethod = (typeof CACHE_METHODS)[number];

/** Bits below 16 of latents, or of keys and values, that a method has. */
export function methodBits(kvMethod: CacheMethod = 'affine'): readonly (2 | 3 | 4 | 8)[] {
  if (kvMethod === 'lloyd-max') return [2, 3, 4];
  return kvMethod === 'int8' ? [8] : [2, 3, 4, 8];
}

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
  /** Default 'affine'. */
  kvMethod?: CacheMethod;
  /** How each layer's latents are stored, by segment, as a conversion fitted it; of 'static', 'bands'. */
  latentSpecs?: readonly Partial<Record<Segment, StaticSpec>>[];
  /** Latents come turned by Hadamard matrices, as folded weights give them: do not turn them back. */
  latentsTurned?: boolean;
  /** Values that share a scale. Default 32, of lloyd-max the whole vector. */
  groupSize?: number;
  /** The newest tokens that stay f32, at least. Default 0; tokens that share scales fill up beyond. */
  residualLength?: number;
  /** Tokens a sealed block. Default about 256: long enough that a step reads few blocks. */
  blockLength?: number;
}

const PARTS = ['key', 'value', 'kvLatent', 'kPe'];

/** Whether latents are stored by scales that a conversion fitted. */
export function fitsLatents({ kvMethod }: Pick<CacheOptions, 'kvMethod'>): boolean {
  return kvMethod === 'static' || kvMethod === 'bands';
}

/** Bits to which a segment's latents in a layer are fitted, on average; `undefined` where they are not. */
export function fittedBits(
  layer: number,
  segment: Segment,
  options: CacheOptions,
): 2 | 3 | 4 | 8 | undefined {
  if (!fitsLatents(options)) return undefined;
  const bits = kvBitsOf(segment, options.layers?.[layer] ?? options);
  return bits === 16 ? undefined : bits;
}

/** Whether all that a layer caches stays f32. */
export function isExact(layer: number, options: CacheOptions): boolean {
  const { kvBits, ropeBits } = options.layers?.[layer] ?? options;
  return kvBits === undefined && ropeBits === undefined;
}

/** Resolve the options for one part of a segment in a layer. @throws RangeError on bad ones. */
export function cacheStorage(
  layer: number,
  segment: Segment,
  part: string,
  options: CacheOptions,
): QuantizedCacheOptions {
  const { residualLength, blockLength } = options;
  const own = options.layers?.[layer] ?? options;
  if (part !== 'kPe' && fittedBits(layer, segment, options) !== undefined) {
    const spec = part === 'kvLatent' ? options.latentSpecs?.[layer]?.[segment] : undefined;
    if (spec) return { spec, residualLength, blockLength };
    throw new RangeError(
      `CacheOptions: kvMethod=${options.kvMethod} must be of latents that a conversion fitted, got none for ${part} of layer ${layer}. Convert with --kv-method ${options.kvMethod}.`,
    );
  }
  const bits = part === 'kPe' ? ropeBitsOf(segment, own) : kvBitsOf(segment, own);
  return { spec: specOf(part, bits, options), residualLength, blockLength };
}

function specOf(
  part: string,
  bits: CacheBits | undefined,
  { kvMethod = 'affine', latentsTurned, groupSize }: CacheOptions,
): QuantSpec | undefined {
  if (bits === undefined) return undefined;
  if (bits === 16) return { method: 'half' };
  const affine = { method: 'affine', bits, groupSize } as const;
  const widths = methodBits(kvMethod);
  if (part === 'kPe' && !widths.includes(bits)) return affine;
  switch (kvMethod) {
    case 'kivi':
      return { ...affine, axis: part === 'value' ? 'token' : 'channel' };
    case 'hqq':
      return { ...affine, method: kvMethod };
    case 'int8':
      if (bits === 8) return { method: kvMethod, groupSize };
      break;
    case 'lloyd-max':
      if (bits === 8) break;
      return {
        ...{ method: kvMethod, bits, groupSize },
        rotation: part === 'kvLatent' && latentsTurned ? 'none' : 'hadamard',
      };
    case 'static':
    case 'bands':
    case 'affine':
      return affine;
  }
  throw new RangeError(
    `CacheOptions: kvBits of ${kvMethod} must be ${widths.join(', ')} or 16, got ${bits}.`,
  );
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

/** @throws RangeError for a layer that there is not, or what a segment or a method cannot have. */
export function checkCacheOptions(
  options: CacheOptions,
  numLayers: number,
  segments: readonly Segment[],
): void {
  const { kvMethod, kvBits, ropeBits, layers } = options;
  if (kvMethod !== undefined && !CACHE_METHODS.includes(kvMethod)) {
    throw new RangeError(
      `CacheOptions: kvMethod must be one of ${CACHE_METHODS.join(', ')}, got ${kvMethod}.`,
    );
  }
  if (kvMethod !== undefined && kvBits === undefined && ropeBits === undefined && !layers) {
    throw new RangeError(
      `CacheOptions: a method must come with bits, got kvMethod=${kvMethod} alone. Give kvBits.`,
    );
  }
  const unknown = Object.keys(layers ?? {}).find((layer) => !(Number(layer) < numLayers));
  if (unknown !== undefined) {
    throw new RangeError(
      `CacheOptions: layers must be numbers below ${numLayers}, got layer ${unknown}.`,
    );
  }
  for (let layer = 0; layer < numLayers; layer++) {
    for (const segment of segments) {
      // Empty, a cache holds nothing, but it checks its options.
      for (const part of partsOf(layer, segment, options))
        new QuantizedCache(cacheStorage(layer, segment, part, options));
    }
  }
}

/** What is fitted is latents; keys and values are none. */
function partsOf(layer: number, segment: Segment, options: CacheOptions): readonly string[] {
  return fittedBits(layer, segment, options) === undefined ? PARTS : ['kvLatent', 'kPe'];
}
