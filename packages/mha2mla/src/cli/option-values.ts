/** Parsers of option values: what a command line says, checked once at the edge. */
import { CACHE_BITS, type CacheBits, type CacheOptions } from '@mha2mla/mla-runtime';
import { InvalidArgumentError } from 'commander';

/** An integer of at least `min`. */
export function integer(min: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (/^-?\d+$/.test(value) && Number.isSafeInteger(number) && number >= min) return number;
    throw new InvalidArgumentError(`It must be an integer of at least ${min}.`);
  };
}

/** As another parser has it, or `auto`. */
export function orAuto(parse: (value: string) => number): (value: string) => number | 'auto' {
  return (value) => (value === 'auto' ? value : parse(value));
}

/** A number from 0 to `max`. */
export function nonNegative(max = Number.POSITIVE_INFINITY): (value: string) => number {
  return (value) => {
    const number = decimal(value);
    if (number >= 0 && number <= max) return number;
    throw new InvalidArgumentError(
      Number.isFinite(max)
        ? `It must be a number from 0 to ${max}.`
        : 'It must be a number of at least 0.',
    );
  };
}

/** A number above 0, and at most `max`. */
export function positive(max = Number.POSITIVE_INFINITY): (value: string) => number {
  return (value) => {
    const number = decimal(value);
    if (number > 0 && number <= max) return number;
    throw new InvalidArgumentError(
      `It must be a number above 0${Number.isFinite(max) ? ` and at most ${max}` : ''}.`,
    );
  };
}

/** NaN for what is no plain decimal number, or too large for one. */
function decimal(value: string): number {
  const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value) ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : Number.NaN;
}

/** Counts as in `0,1024,4096`, below ten million each. */
export function counts(value: string): number[] {
  if (/^\d{1,7}(,\d{1,7})*$/.test(value)) return [...new Set(value.split(',').map(Number))];
  throw new InvalidArgumentError('It must be integers of at least 0, as in 0,1024,4096.');
}

/** Counts as in `4,6,6`, or `proportional`. */
export function countsBySection(value: string): number[] | 'proportional' {
  if (value === 'proportional') return value;
  if (/^\d{1,4}(,\d{1,4})*$/.test(value)) return value.split(',').map(Number);
  throw new InvalidArgumentError('It must be pairs of each section, as in 4,6,6, or proportional.');
}

/** Collect an option that may be given several times. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** A regular expression. @returns its source. */
export function pattern(value: string): string {
  try {
    new RegExp(value);
    return value;
  } catch {
    throw new InvalidArgumentError('It must be a regular expression, such as .*q_proj.');
  }
}

export function bits(value: string): CacheBits {
  const found = CACHE_BITS.find((one) => String(one) === value);
  if (found) return found;
  throw new InvalidArgumentError(`It must be one of ${CACHE_BITS.join(', ')}.`);
}

/** Bits of single layers and runs of them, as in `0=16,5-7=8`. */
export function bitsByLayer(value: string): NonNullable<CacheOptions['layers']> {
  const found: Record<number, { kvBits: CacheBits }> = {};
  for (const part of value.split(',')) {
    const [, first, last = first, width = ''] = /^(\d{1,4})(?:-(\d{1,4}))?=(\d+)$/.exec(part) ?? [];
    if (first === undefined || Number(first) > Number(last)) {
      throw new InvalidArgumentError('It must be bits of layers, as in 0=16,5-7=8.');
    }
    for (let layer = Number(first); layer <= Number(last); layer++) {
      if (found[layer])
        throw new InvalidArgumentError(`It must name a layer once, got ${layer} twice.`);
      found[layer] = { kvBits: bits(width) };
    }
  }
  return found;
}

/** `4`, or bits by modality: `vision=4,text=8`. */
export function bitsByModality(value: string): NonNullable<CacheOptions['kvBits']> {
  if (!value.includes('=')) return bits(value);
  const found: Partial<Record<'vision' | 'text', CacheBits>> = {};
  for (const part of value.split(',')) {
    const [, modality, width = ''] = /^(vision|text)=(\d+)$/.exec(part) ?? [];
    if ((modality !== 'vision' && modality !== 'text') || found[modality] !== undefined) {
      throw new InvalidArgumentError('It must be a number of bits, or as in vision=4,text=8.');
    }
    found[modality] = bits(width);
  }
  return found;
}
