import { expect, test } from 'vitest';
import { packedBytesPerToken } from './packed-bytes-per-token';

test.each([
  [{ channels: 512, bits: 4, groupSize: 32 }, 256 + 16 * 4],
  [{ channels: 512, bits: 8, groupSize: 32 }, 512 + 16 * 4],
  [{ channels: 512, bits: 16, groupSize: 32 }, 1024],
  [{ channels: 33, bits: 4, groupSize: 32 }, 20 + 2 * 4], // the last word and group hold one code
  [{ channels: 1, bits: 16, groupSize: 32 }, 4],
  [{ channels: 0, bits: 8, groupSize: 32 }, 0],
] as const)('%j takes %d bytes', (options, bytes) => {
  expect(packedBytesPerToken(options)).toBe(bytes);
});

test.each([
  [{ channels: -1 }, 'channels must be a whole number from 0, got channels=-1'],
  [{ channels: 1.5 }, 'got channels=1.5'],
  [{ bits: 2 as 4 }, 'packedBytesPerToken: bits must be 4, 8 or 16, got bits=2'],
  [{ groupSize: 0 }, 'groupSize must be a positive integer, got groupSize=0'],
])('refuses %j', (change, message) => {
  const options = { channels: 8, bits: 8 as const, groupSize: 4, ...change };
  expect(() => packedBytesPerToken(options)).toThrow(RangeError);
  expect(() => packedBytesPerToken(options)).toThrow(message);
});
