/** `mha2mla.cache` of a converted config.json: how its cache is stored unless a run says otherwise. */
import { type ConfigRecord, configRecord, configValue, showJson } from '@mha2mla/checkpoint';
import type { CacheBits, CacheOptions, LayerCacheBits } from '@mha2mla/mla-runtime';

const BITS: readonly unknown[] = [4, 8, 16];

/**
 * Read the setting: `kv_bits` a number or `{vision, text}`, `rope_bits`, `group_size`, and `layers`,
 * by number, that have bits of their own.
 * @param block `config.mha2mla`, unchecked.
 * @throws RangeError for bits other than 4, 8, 16, a group size out of range, or no layer's number.
 */
export function parseCacheSetting(block: ConfigRecord): CacheOptions {
  const cache = configRecord(block, 'cache') ?? {};
  const groupSize = configValue(cache, 'group_size');
  // A group beyond a head's few hundred channels would share its scale with all of a latent.
  const whole = Number.isSafeInteger(groupSize) && Number(groupSize) >= 1;
  if (groupSize !== undefined && !(whole && Number(groupSize) <= 1024)) {
    throw new RangeError(
      `parseCacheSetting: mha2mla.cache.group_size must be an integer from 1 to 1024, got ${showJson(groupSize)}.`,
    );
  }
  return withoutUndefined({
    ...parseBits(cache, ''),
    layers: parseLayers(configRecord(cache, 'layers')),
    groupSize: groupSize as number | undefined,
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
export function cacheBlock({ layers, groupSize, ...own }: CacheOptions): Record<string, unknown> {
  const entries = Object.entries(layers ?? {}).map(([layer, bits]) => [layer, bitsBlock(bits)]);
  return withoutUndefined({
    ...bitsBlock(own),
    layers: layers && Object.fromEntries(entries),
    group_size: groupSize,
  });
}

function bitsBlock({ kvBits, ropeBits }: LayerCacheBits): Record<string, unknown> {
  return withoutUndefined({ kv_bits: kvBits, rope_bits: ropeBits });
}

function bits(name: string, value: unknown): CacheBits | undefined {
  if (value === undefined || BITS.includes(value)) return value as CacheBits | undefined;
  throw new RangeError(
    `parseCacheSetting: mha2mla.cache.${name} must be one of ${BITS.join(', ')}, got ${showJson(value)}.`,
  );
}

function withoutUndefined<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, v]) => v !== undefined)) as T;
}
