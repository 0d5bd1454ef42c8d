import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';

const SCRIPT = 'examples/lowrank/compress-linear.js';

test('activations and ranks by layer each lower the error, which is as predicted', async () => {
  const output = await runExample(SCRIPT);
  const errors = [...output.matchAll(/: error (\S+),/g)].map(([, error]) => Number(error));
  const [weights, activations, byLayer] = errors as [number, number, number];
  expect(activations).toBeLessThan(0.6 * weights);
  expect(byLayer).toBeLessThan(0.9 * activations);
  for (const [, measured, predicted] of output.matchAll(/by layer (.*), predicted (.*)$/gm)) {
    const told = predicted!.split(' ').map(Number);
    for (const [i, error] of measured!.split(' ').entries()) {
      // 1,000 samples of 96 directions; other inputs are a little worse off.
      expect(Number(error) / told[i]!).toBeGreaterThan(0.95);
      expect(Number(error) / told[i]!).toBeLessThan(1.1);
    }
  }
  expect(output).toBe(await printedBy(SCRIPT));
});
