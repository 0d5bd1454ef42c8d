import { describe, expect, test } from 'vitest';
import { fuzzBytes, fuzzJson } from './fuzz';

const BYTES = Uint8Array.from({ length: 64 }, (_, i) => i);
const fuzzed = (read: (bytes: Uint8Array) => unknown) => fuzzBytes(BYTES, read, { runs: 3 });

describe('a reader keeps the law', () => {
  test.each<[string, (bytes: Uint8Array) => unknown]>([
    ['that succeeds', (bytes) => bytes.slice()],
    ['that refuses', () => Promise.reject(new RangeError('read: must be, got nothing.'))],
    ['that names an entry', () => Promise.reject(new TypeError('"a.json:3": read: must be.'))],
  ])('%s', async (_, read) => {
    await expect(fuzzed(read)).resolves.toBeUndefined();
  });
});

describe('a reader breaks the law', () => {
  test.each<[string, (bytes: Uint8Array) => unknown, RegExp]>([
    ['by a fault of its own', () => (undefined as unknown as { y: 1 }).y, /an error of ours/],
    ['by a kind of error', () => Promise.reject(new Error('read: must be.')), /an error of ours/],
    ['by a message', () => Promise.reject(new TypeError('read: \u001b[2J')), /fit to be printed/],
    ['by an endless message', () => Promise.reject(new TypeError(`a: ${'b'.repeat(3000)}`)), /fit/],
    ['by a great array', () => new Float32Array(2 ** 19), /got [\d.]+ ms, 2097152 and/],
    ['by small ones', () => Array.from({ length: 99 }, () => new Uint8Array(2 ** 15)), /3244032/],
    ['by a copy', () => Float64Array.from({ length: 2 ** 18 }, () => 1), /2097152/],
  ])('%s', async (_, read, message) => {
    const failure = await fuzzed(read).then(
      () => undefined,
      (error: Error) => error.cause,
    );
    expect(String(failure)).toMatch(message);
  });
});

test('arrays are the old ones afterwards, and made ones pass for them', async () => {
  const { Uint8Array: before } = globalThis;
  let made: unknown;
  await fuzzed(() => {
    made = new Uint8Array(3);
    expect(made).toBeInstanceOf(Uint8Array);
    expect((made as Uint8Array).constructor).toBe(Uint8Array);
    expect(new Uint8Array(3).subarray(1)).toBeInstanceOf(Uint8Array);
  });
  expect(Uint8Array).toBe(before);
  expect(made).toBeInstanceOf(Uint8Array);
  expect(before.prototype.constructor).toBe(before);
});

test('cases are the same each time, and edited JSON stays JSON', async () => {
  const texts = async () => {
    const seen: string[] = [];
    await fuzzJson({ a: [1, { b: 'c' }] }, (text) => seen.push(text), { runs: 200 });
    return seen;
  };
  const first = await texts();
  expect(await texts()).toEqual(first);
  expect(new Set(first).size).toBeGreaterThan(50);
  for (const text of first) expect(() => JSON.parse(text)).not.toThrow();
});
