/**
 * Values of a JSON file that nobody vouches for, with their place in it. Nothing is drawn, counted
 * or allocated by before it passed one of these checks.
 */
import { quoteName, showJson } from '@mha2mla/checkpoint';

export interface JsonValue {
  value: unknown;
  /** Such as `layers[3].vision` of "report.json". */
  place: string;
}

/** A document of a file. */
export function jsonDocument(value: unknown, file: string): JsonValue {
  return { value, place: quoteName(file) };
}

/** A member of an object; `undefined` where it is absent or null. @throws RangeError for no object */
export function member(parent: JsonValue, key: string): JsonValue | undefined {
  const { value, place } = parent;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(parent, 'an object');
  }
  // An own one: `constructor` is not inherited.
  const own = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
  return own === undefined || own === null
    ? undefined
    : { value: own, place: `${key} of ${place}` };
}

/** The same, where it must be there. */
export function required(parent: JsonValue, key: string): JsonValue {
  const found = member(parent, key);
  if (found) return found;
  throw new RangeError(`report: ${parent.place} must have ${key}, got none.`);
}

/** The keys of an object, at most `most`. */
export function keysOf(parent: JsonValue, most: number): string[] {
  const { value } = parent;
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  if (Array.isArray(value) || keys.length > most) throw wrong(parent, `at most ${most} keys`);
  return keys;
}

/** The elements of a list, at most `most`. */
export function elements(list: JsonValue, most: number): JsonValue[] {
  const { value, place } = list;
  if (!Array.isArray(value) || value.length > most) {
    throw wrong(list, `a list of at most ${most} values`);
  }
  return value.map((element, index) => ({ value: element, place: `[${index}] of ${place}` }));
}

/** A finite number in [min, max]. */
export function numberOf(found: JsonValue, min = 0, max = Number.MAX_VALUE): number {
  const { value } = found;
  if (typeof value === 'number' && value >= min && value <= max) return value;
  const range = max === Number.MAX_VALUE ? `of at least ${min}` : `from ${min} to ${max}`;
  throw wrong(found, `a finite number ${range}`);
}

/** A list of at most `most` finite numbers in [min, max]. */
export function numbersOf(
  list: JsonValue,
  most: number,
  min = 0,
  max = Number.MAX_VALUE,
): number[] {
  const { value, place } = list;
  if (!Array.isArray(value) || value.length > most) {
    throw wrong(list, `a list of at most ${most} numbers`);
  }
  // Of a long list, only the place of a wrong number is put into words.
  const bad = value.findIndex((n) => !(typeof n === 'number' && n >= min && n <= max));
  if (bad >= 0) numberOf({ value: value[bad], place: `[${bad}] of ${place}` }, min, max);
  return value;
}

/** A list of at most `most` integers in [min, max]. */
export function integersOf(list: JsonValue, most: number, min: number, max: number): number[] {
  const numbers = numbersOf(list, most, min, max);
  const bad = numbers.findIndex((n) => !Number.isSafeInteger(n));
  if (bad >= 0) integerOf({ value: numbers[bad], place: `[${bad}] of ${list.place}` }, min, max);
  return numbers;
}

/** An integer in [min, max]. */
export function integerOf(found: JsonValue, min: number, max: number): number {
  if (Number.isSafeInteger(found.value)) return numberOf(found, min, max);
  throw wrong(found, `an integer from ${min} to ${max}`);
}

export function textOf(found: JsonValue): string {
  if (typeof found.value === 'string' && found.value.length <= 1000) return found.value;
  throw wrong(found, 'text of at most 1000 characters');
}

/** One of some words. */
export function wordOf<T extends string>(found: JsonValue, words: readonly T[]): T {
  const word = words.find((one) => one === found.value);
  if (word !== undefined) return word;
  throw wrong(found, `one of ${words.join(', ')}`);
}

/** Apply a reader to what may be absent. */
export function optional<T>(
  found: JsonValue | undefined,
  read: (found: JsonValue) => T,
): T | undefined {
  return found && read(found);
}

function wrong({ value, place }: JsonValue, must: string): RangeError {
  return new RangeError(`report: ${place} must be ${must}, got ${showJson(value)}.`);
}
