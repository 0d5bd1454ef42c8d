import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';

const SCRIPT = 'examples/llava-next/llava-next.js';
const A_LOOK = ['--samples', '32', '--steps', '5', '--limit', '40'];

test('a LLaVA-NeXT heals layer by layer within its budget, and looks at a picture once', async () => {
  const output = await runExample(SCRIPT, A_LOOK);
  // 16 tokens of the whole, and of 8 rows of tiles 8 each and one that ends the row.
  expect(output).toMatch(/^a picture: 5 crops, 88 tokens\n/);
  const rows = [...output.matchAll(/([\d.]+) % right, nll ([\d.]+), (\d+) pictures/g)];
  const [original, converted, healed, packed] = rows.map(([, right, nll, pictures]) => ({
    ...{ right: Number(right), nll: Number(nll), pictures: Number(pictures) },
  })) as { right: number; nll: number; pictures: number }[];
  expect(original!.right).toBeGreaterThan(90);
  expect(converted!.nll).toBeGreaterThan(original!.nll + 0.1);
  expect(healed!.nll).toBeLessThan(0.8 * converted!.nll);
  expect(packed!.nll).toBeLessThan(converted!.nll);
  // 2^20 / (88 * 1024), and four and eight times as many, no more than a budget of a quarter holds.
  expect(original!.pictures).toBe(11);
  expect(healed!.pictures).toBeGreaterThanOrEqual(46);
  expect(packed!.pictures).toBeGreaterThan(80);
  const [cached, all] = /yellow \((\d+) of (\d+) tokens/.exec(output)!.slice(1).map(Number);
  expect(cached).toBeGreaterThan(88);
  expect(cached).toBeLessThan(all!);
  expect(await printedBy(SCRIPT)).toContain('a picture: 5 crops, 88 tokens\n');
}, 240_000);
