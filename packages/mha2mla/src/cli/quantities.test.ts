import { expect, test } from 'vitest';
import { sizeText } from './quantities';

test.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1000, '1 KB'],
  [999_999, '1 MB'], // rounded before its unit is chosen
  [2_345_678, '2.35 MB'],
  [4.5e9, '4.5 GB'],
  [1.2e15, '1200 TB'],
])('%d bytes are %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});
