import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';

const SCRIPT = 'examples/kv-quant/quantize-cache.js';

test('fewer bits, larger errors; a scale a channel keeps scores of uneven keys', async () => {
  const output = await runExample(SCRIPT);
  const rows = [...output.matchAll(/(\S+) bits a value, error of scores (\S+), output (\S+)/g)];
  const [eight, four, rotated, byChannel, two, recent] = rows.map(([, bits, scores, error]) => ({
    ...{ bits: Number(bits), scores: Number(scores), error: Number(error) },
  })) as { bits: number; scores: number; error: number }[];
  expect(rows.map(([, bits]) => bits)).toEqual(['9.00', '5.00', '4.75', '5.00', '3.00', '4.81']);
  expect(eight!.error).toBeLessThan(0.02);
  for (const better of [rotated!, byChannel!])
    expect(better.scores).toBeLessThan(0.8 * four!.scores);
  // Its attention is on the newest tokens.
  expect(recent!.error).toBeLessThan(0.5 * two!.error);
  expect(output).toContain('step by step: the same\n');
  expect(output).toBe(await printedBy(SCRIPT));
});
