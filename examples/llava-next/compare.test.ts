import { expect, test } from 'vitest';
import { runExample } from '../demo/run-example.js';

test('a LLaVA-NeXT sees a picture whole and in tiles, and keeps most answers at a quarter', async () => {
  const output = await runExample('examples/llava-next/compare.js');
  // 16 tokens of the whole, and of 8 rows of tiles 8 each and one that ends the row.
  expect(output).toMatch(/^a picture: 5 crops, 88 of \d+ tokens\n/);
  const [original, converted] = [...output.matchAll(/([\d.]+) % right/g)].map(shareOf);
  expect(original).toBeGreaterThan(90);
  expect(converted).toBeGreaterThan(70);
  expect(output).toContain('cache: 1024 -> 256 bytes a token');
});

function shareOf([, share]: RegExpMatchArray): number {
  return Number(share);
}
