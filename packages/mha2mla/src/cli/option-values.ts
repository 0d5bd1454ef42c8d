/** Parsers of option values: what a command line says, checked once at the edge. */
import type { CacheBits, CacheOptions } from '@mha2mla/mla-runtime';
import { InvalidArgumentError } from 'commander';

/** An integer of at least `min`. */
export function integer(min: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (/^-?\d+$/.test(value) && Number.isSafeInteger(number) && number >= min) return number;
    throw new InvalidArgumentError(`It must be an integer of at least ${min}.`);
  };
}

/** A number from `min` to `max`. */
export function number(min: number, max = Number.POSITIVE_INFINITY): (value: string) => number {
  return (value) => {
    const parsed = value.trim() === '' ? Number.NaN : Number(value);
    if (parsed >= min && parsed <= max) return parsed;
    throw new InvalidArgumentError(
      max === Number.POSITIVE_INFINITY
        ? `It must be a number of at least ${min}.`
        : `It must be a number from ${min} to ${max}.`,
    );
  };
}

/** Collect an option that may be given several times. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

const BITS: readonly CacheBits[] = [4, 8, 16];

export function bits(value: string): CacheBits {
  const found = BITS.find((one) => String(one) === value);
  if (found) return found;
  throw new InvalidArgumentError(`It must be one of ${BITS.join(', ')}.`);
}

/** `4`, or bits by modality: `vision=4,text=8`. */
export function bitsByModality(value: string): NonNullable<CacheOptions['kvBits']> {
  if (!value.includes('=')) return bits(value);
  const found: Partial<Record<'vision' | 'text', CacheBits>> = {};
  for (const part of value.split(',')) {
    const [modality, width = ''] = part.split('=');
    if (modality !== 'vision' && modality !== 'text') {
      throw new InvalidArgumentError('It must be a number of bits, or as in vision=4,text=8.');
    }
    found[modality] = bits(width);
  }
  return found;
}
