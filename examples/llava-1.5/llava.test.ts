import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';

const SCRIPT = 'examples/llava-1.5/llava.js';
const A_LOOK = ['--samples', '32', '--steps', '5', '--limit', '40'];

test('a LLaVA-1.5 is converted, healed, asked and compared; a few updates heal some', async () => {
  const output = await runExample(SCRIPT, A_LOOK);
  const rows = [...output.matchAll(/([\d.]+) % right, nll ([\d.]+), (\d+) bytes a token/g)];
  const [original, converted, healed, packed] = rows.map(([, right, nll]) => ({
    ...{ right: Number(right), nll: Number(nll) },
  })) as { right: number; nll: number }[];
  expect(original!.right).toBeGreaterThan(95);
  expect(converted!.nll).toBeGreaterThan(original!.nll + 0.1);
  expect(healed!.nll).toBeLessThan(0.8 * converted!.nll);
  expect(packed!.nll).toBeLessThan(converted!.nll);
  // Of the whole run, too, whose figures the header has.
  const bytes = ['3072', '384', '384', '176'];
  expect(rows.map(([, , , size]) => size)).toEqual(bytes);
  const printed = await printedBy(SCRIPT);
  expect([...printed.matchAll(/(\d+) bytes a token/g)].map(([, size]) => size)).toEqual(bytes);
}, 240_000);
