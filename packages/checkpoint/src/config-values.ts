/**
 * Numbers of a config, checked before they size, divide or count anything. Zero heads and huge
 * layer counts have crashed other loaders (llama.cpp 18586, 24263; CVE-2025-0317).
 */
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

/** A parsed JSON object; read its keys, never spread it. */
export type ConfigRecord = Readonly<Record<string, unknown>>;

/** Range of an integer, both ends included, and its value when the key is absent or null. */
export interface ConfigIntegerOptions {
  min: number;
  max: number;
  default?: number;
}

/**
 * Reads an integer of a config.
 * @throws CheckpointError `bad-config` when it is absent without a default, no integer, or outside
 */
export function configInteger(
  record: ConfigRecord,
  key: string,
  { min, max, default: fallback }: ConfigIntegerOptions,
): number {
  const value = configValue(record, key) ?? fallback;
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw badConfig('configInteger', key, `be an integer in ${min}..${max}`, value);
  }
  return value as number;
}

/**
 * Reads a finite number of a config, both ends of the range included.
 * @throws CheckpointError `bad-config`
 */
export function configNumber(
  record: ConfigRecord,
  key: string,
  { min, max, default: fallback }: ConfigIntegerOptions,
): number {
  const value = configValue(record, key) ?? fallback;
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw badConfig('configNumber', key, `be a number in ${min}..${max}`, value);
  }
  return value;
}

/** Reads a boolean of a config. @throws CheckpointError `bad-config` */
export function configBoolean(record: ConfigRecord, key: string, fallback: boolean): boolean {
  const value = configValue(record, key) ?? fallback;
  if (typeof value !== 'boolean') {
    throw badConfig('configBoolean', key, 'be true or false', value);
  }
  return value;
}

/** Reads a string of a config. @throws CheckpointError `bad-config` */
export function configString(record: ConfigRecord, key: string, fallback?: string): string {
  const value = configValue(record, key) ?? fallback;
  // Names of models, activations and types have up to some 60 characters.
  if (typeof value !== 'string' || value.length > 256) {
    throw badConfig('configString', key, 'be a string of at most 256 characters', value);
  }
  return value;
}

/**
 * Reads a list of integers.
 * @param length of the list, at most
 * @throws CheckpointError `bad-config`
 */
export function configIntegers(
  record: ConfigRecord,
  key: string,
  { min, max, length }: { min: number; max: number; length: number },
): number[] {
  const value = configValue(record, key);
  const valid =
    Array.isArray(value) &&
    value.length <= length &&
    value.every((n) => Number.isSafeInteger(n) && n >= min && n <= max);
  if (!valid) {
    throw badConfig(
      'configIntegers',
      key,
      `list at most ${length} integers in ${min}..${max}`,
      value,
    );
  }
  return value as number[];
}

/** Reads an object of a config; `undefined` when absent or null. @throws CheckpointError `bad-config` */
export function configRecord(record: ConfigRecord, key: string): ConfigRecord | undefined {
  const value = configValue(record, key);
  if (value === undefined) return undefined;
  if (!isConfigRecord(value)) throw badConfig('configRecord', key, 'be an object', value);
  return value;
}

/** Whether a parsed value is a JSON object. */
export function isConfigRecord(value: unknown): value is ConfigRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own value; null counts as absent, and `constructor` is not inherited. */
export function configValue(record: ConfigRecord, key: string): unknown {
  return Object.hasOwn(record, key) ? (record[key] ?? undefined) : undefined;
}

/** The error for a key of a config. */
export function badConfig(fn: string, key: string, must: string, value: unknown): CheckpointError {
  const shown = quoteName(JSON.stringify(value) ?? 'nothing');
  return new CheckpointError(
    'bad-config',
    `${fn}: config ${quoteName(key)} must ${must}, got ${shown}.`,
  );
}
