import { expect, test } from 'vitest';
import { bytesPerToken } from './bytes-per-token';
import type { QuantSpec } from './quant-spec';

test.each<[QuantSpec, number, number]>([
  [{ method: 'affine', bits: 4 }, 512, 256 + 16 * 4],
  [{ method: 'hqq', bits: 2, groupSize: 64 }, 512, 128 + 8 * 4],
  [{ method: 'affine', bits: 3, groupSize: 128 }, 512, 192 + 4 * 4],
  [{ method: 'affine', bits: 8, groupSize: 64, axis: 'channel' }, 512, 512 + 512 / 16],
  [{ method: 'half' }, 512, 1024],
  [{ method: 'int8' }, 512, 512 + 4],
  [{ method: 'lloyd-max', bits: 4 }, 512, 256 + 4],
  [{ method: 'lloyd-max', bits: 2, groupSize: 128 }, 512, 128 + 4 * 4],
  [{ method: 'affine', bits: 4 }, 33, 20 + 2 * 4], // the last word and group hold one code
  [{ method: 'half' }, 1, 4],
  [{ method: 'int8' }, 0, 0],
])('%j of %d channels takes %d bytes', (spec, channels, bytes) => {
  expect(bytesPerToken(spec, channels)).toBe(bytes);
});

test.each([-1, 1.5])('refuses %d channels', (channels) => {
  const message = `bytesPerToken: channels must be a whole number from 0, got channels=${channels}`;
  expect(() => bytesPerToken({ method: 'half' }, channels)).toThrow(message);
});
