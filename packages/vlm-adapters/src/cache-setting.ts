/** `mha2mla.cache` of a converted config.json: how its cache is stored unless a run says otherwise. */
import { type ConfigRecord, configRecord, configValue, showJson } from '@mha2mla/checkpoint';
import type { CacheBits, CacheOptions } from '@mha2mla/mla-runtime';

const BITS: readonly unknown[] = [4, 8, 16];

/**
 * Read the setting: `kv_bits` a number or `{vision, text}`, `rope_bits`, `group_size`.
 * @param block `config.mha2mla`, unchecked.
 * @throws RangeError for bits other than 4, 8, 16, or a group size out of range.
 */
export function parseCacheSetting(block: ConfigRecord): CacheOptions {
  const cache = configRecord(block, 'cache') ?? {};
  const kvBits = configValue(cache, 'kv_bits');
  const byModality = kvBits instanceof Object ? configRecord(cache, 'kv_bits') : undefined;
  const groupSize = configValue(cache, 'group_size');
  // A group beyond a head's few hundred channels would share its scale with all of a latent.
  const whole = Number.isSafeInteger(groupSize) && Number(groupSize) >= 1;
  if (groupSize !== undefined && !(whole && Number(groupSize) <= 1024)) {
    throw new RangeError(
      `parseCacheSetting: mha2mla.cache.group_size must be an integer from 1 to 1024, got ${showJson(groupSize)}.`,
    );
  }
  return withoutUndefined({
    kvBits: byModality
      ? withoutUndefined({
          vision: bits('kv_bits.vision', configValue(byModality, 'vision')),
          text: bits('kv_bits.text', configValue(byModality, 'text')),
        })
      : bits('kv_bits', kvBits),
    ropeBits: bits('rope_bits', configValue(cache, 'rope_bits')),
    groupSize: groupSize as number | undefined,
  });
}

/** The setting in the form of the config file. */
export function cacheBlock({ kvBits, ropeBits, groupSize }: CacheOptions): Record<string, unknown> {
  return withoutUndefined({ kv_bits: kvBits, rope_bits: ropeBits, group_size: groupSize });
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
