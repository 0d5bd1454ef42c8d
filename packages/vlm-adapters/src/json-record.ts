import { showJson } from '@mha2mla/checkpoint';

/**
 * A parsed JSON value that must be an object.
 * @param owner who asks, and `name` what for, for the message.
 * @throws TypeError when it is another value.
 */
export function jsonRecord(owner: string, name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${owner}: ${name} must be a JSON object, got ${showJson(value)}.`);
  }
  return value as Record<string, unknown>;
}
