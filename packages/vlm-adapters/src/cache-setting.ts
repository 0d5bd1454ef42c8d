/** `mha2mla.cache` of a converted config.json: how its cache is stored unless a run says otherwise. */
import { type ConfigRecord, configRecord, configValue, showJson } from '@mha2mla/checkpoint';
import {
  CACHE_BITS,
  CACHE_METHODS,
  type CacheBits,
  type CacheMethod,
  type CacheOptions,
  type LayerCacheBits,
} from '@mha2mla/mla-runtime';
import { latentBands } from './latent-specs';

/** More exact tokens than any context has would be a cache that is not quantized. */
const MOST_EXACT = 2 ** 20;

/**
 * Read the setting: `kv_bits` a number or `{vision, text}`, `rope_bits`, `kv_method`, `group_size`,
 * `residual_length`, `latents_turned`, and `layers`, by number, that have bits of their own. What
 * `latent_bands` says is read with its scales (`readLatentSpecs`).
 * @param block `config.mha2mla`, unchecked.
 * @throws RangeError for bits or a method that there are not, a length out of range, or no layer's
 * number.
 */
export function parseCacheSetting(block: ConfigRecord): CacheOptions {
  const cache = configRecord(block, 'cache') ?? {};
  return withoutUndefined({
    ...parseBits(cache, ''),
    layers: parseLayers(configRecord(cache, 'layers')),
    kvMethod: oneOf<CacheMethod>('kv_method', configValue(cache, 'kv_method'), CACHE_METHODS),
    latentsTurned: oneOf<true>('latents_turned', configValue(cache, 'latents_turned'), [true]),
    // A group beyond a head's few hundred channels would share its scale with all of a latent.
    groupSize: integer(cache, 'group_size', 1, 1024),
    residualLength: integer(cache, 'residual_length', 0, MOST_EXACT),
  });
}

function parseLayers(layers: ConfigRecord | undefined): CacheOptions['layers'] {
  if (!layers) return undefined;
  const entries = Object.keys(layers).map((layer) => {
    if (!/^(0|[1-9]\d{0,3})$/.test(layer)) {
      throw new RangeError(
        `parseCacheSetting: mha2mla.cache.layers must name layers by number, got ${showJson(layer)}.`,
      );
    }
    return [layer, parseBits(configRecord(layers, layer) ?? {}, `layers.${layer}.`)];
  });
  return Object.fromEntries(entries);
}

/** @param path of the record below `mha2mla.cache`. */
function parseBits(record: ConfigRecord, path: string): LayerCacheBits {
  const kvBits = configValue(record, 'kv_bits');
  const byModality = kvBits instanceof Object ? configRecord(record, 'kv_bits') : undefined;
  return withoutUndefined({
    kvBits: byModality
      ? withoutUndefined({
          vision: bits(`${path}kv_bits.vision`, configValue(byModality, 'vision')),
          text: bits(`${path}kv_bits.text`, configValue(byModality, 'text')),
        })
      : bits(`${path}kv_bits`, kvBits),
    ropeBits: bits(`${path}rope_bits`, configValue(record, 'rope_bits')),
  });
}

/** The setting in the form of the config file. */
export function cacheBlock({ layers, ...own }: CacheOptions): Record<string, unknown> {
  const entries = Object.entries(layers ?? {}).map(([layer, bits]) => [layer, bitsBlock(bits)]);
  return withoutUndefined({
    ...bitsBlock(own),
    layers: layers && Object.fromEntries(entries),
    kv_method: own.kvMethod,
    latent_bands: own.latentSpecs && latentBands(own.latentSpecs),
    latents_turned: own.latentsTurned,
    group_size: own.groupSize,
    residual_length: own.residualLength,
  });
}

function bitsBlock({ kvBits, ropeBits }: LayerCacheBits): Record<string, unknown> {
  return withoutUndefined({ kv_bits: kvBits, rope_bits: ropeBits });
}

function bits(name: string, value: unknown): CacheBits | undefined {
  return oneOf<CacheBits>(name, value, CACHE_BITS);
}

function oneOf<T>(name: string, value: unknown, choices: readonly unknown[]): T | undefined {
  if (value === undefined || choices.includes(value)) return value as T | undefined;
  throw new RangeError(
    `parseCacheSetting: mha2mla.cache.${name} must be one of ${choices.join(', ')}, got ${showJson(value)}.`,
  );
}

function integer(cache: ConfigRecord, name: string, min: number, max: number): number | undefined {
  const value = configValue(cache, name);
  const fits = Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max;
  if (value === undefined || fits) return value as number | undefined;
  throw new RangeError(
    `parseCacheSetting: mha2mla.cache.${name} must be an integer from ${min} to ${max}, got ${showJson(value)}.`,
  );
}

function withoutUndefined<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, v]) => v !== undefined)) as T;
}
