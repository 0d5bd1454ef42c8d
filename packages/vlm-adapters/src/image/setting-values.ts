/** Values of an image processor's configuration, checked before they decide anything. */
import { showJson } from '@mha2mla/checkpoint';

type Settings = Readonly<Record<string, unknown>>;

/** A switch, on where it is missing. @throws TypeError */
export function flag(owner: string, raw: Settings, name: string): boolean {
  const value = raw[name] ?? true;
  if (typeof value !== 'boolean') {
    throw new TypeError(`${owner}: ${name} must be true or false, got ${showJson(value)}.`);
  }
  return value;
}

/** @throws RangeError unless it is an integer in 1..max. */
export function positiveInteger(owner: string, name: string, value: unknown, max: number): number {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > max) {
    throw new RangeError(
      `${owner}: ${name} must be an integer in 1..${max}, got ${showJson(value)}.`,
    );
  }
  return value as number;
}

/** @throws TypeError */
export function finite(owner: string, name: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new TypeError(`${owner}: ${name} must be a finite number, got ${showJson(value)}.`);
  }
  return value;
}

/** A number for each colour. @throws TypeError */
export function triple(owner: string, name: string, value: unknown): number[] {
  if (!Array.isArray(value) || value.length !== 3) {
    throw new TypeError(`${owner}: ${name} must be three numbers, got ${showJson(value)}.`);
  }
  return value.map((item) => finite(owner, name, item));
}
