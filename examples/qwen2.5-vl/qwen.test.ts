import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';

const SCRIPT = 'examples/qwen2.5-vl/qwen.js';
const A_LOOK = ['--samples', '32', '--steps', '5', '--limit', '40', '--workers', '1'];

test('a Qwen2.5-VL is converted, healed and compared, and sees a picture and a video', async () => {
  const output = await runExample(SCRIPT, A_LOOK);
  // Four pairs a head, of sections of 4, 6 and 6.
  expect(output).toMatch(/^kept in the first layer's heads: [thw]{4} and [thw]{4} /);
  const rows = [...output.matchAll(/([\d.]+) % right, nll ([\d.]+), (\d+) bytes a token/g)];
  const [original, converted, healed, packed] = rows.map(([, , nll]) => Number(nll)) as number[];
  expect(Number(rows[0]![1])).toBeGreaterThan(95);
  expect(converted).toBeGreaterThan(original! + 0.1);
  expect(healed).toBeLessThan(0.85 * converted!);
  expect(packed).toBeLessThan(converted!);
  const bytes = ['1024', '256', '256', '128'];
  expect(rows.map(([, , , size]) => size)).toEqual(bytes);
  const printed = await printedBy(SCRIPT);
  expect([...printed.matchAll(/(\d+) bytes a token/g)].map(([, size]) => size)).toEqual(bytes);
  // A picture of 12 x 12 patches is 36 tokens; a video of 4 wide frames 2 steps of 40.
  const [tokens, more] = [...output.matchAll(/^(\d+) tokens; grids (.*)$/gm)];
  expect([tokens![2]!.trim(), more![2]]).toEqual(['1,12,12', '1,12,12 2,10,16']);
  expect(Number(more![1]) - Number(tokens![1])).toBe(80 + 2); // and start and end of the video
}, 240_000);
