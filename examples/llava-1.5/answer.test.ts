import { expect, test } from 'vitest';
import { runExample } from '../demo/run-example.js';

test('a LLaVA-1.5 answers before and after its conversion, at a quarter of the cache', async () => {
  const output = await runExample('examples/llava-1.5/answer.js');
  expect(output).toMatch(/^original: {2}[a-z]+(, [a-z]+)*\nconverted: [a-z]+(, [a-z]+)*\n/);
  expect(output).toMatch(/cache: {5}3072 -> 768 bytes\n$/);
});
