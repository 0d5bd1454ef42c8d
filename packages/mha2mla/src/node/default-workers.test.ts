import { expect, test } from 'vitest';
import type { FactorJob } from '../convert/run-factor-job';
import { defaultWorkers } from './default-workers';

const job = (dK: number, dV: number, dIn: number): FactorJob => {
  const side = (dOut: number) => (dOut > 0 ? { weight: new Float32Array(0), dOut } : undefined);
  return { name: 'x', key: side(dK), value: side(dV), dIn, heads: 1, rank: 1 };
};

test.each([
  // Rows of keys and of values, inputs: of one latent for all heads, and of one a head.
  ['LLaVA-1.5-7B', [3072, 4096, 4096], 1],
  ['LLaVA-1.5-7B, a latent a head', [96, 128, 4096], 8],
  ['LLaVA-1.5-7B, values alone', [0, 4096, 4096], 2],
  ['LLaVA-NeXT', [768, 1024, 4096], 8],
  ['Qwen2.5-VL-7B', [384, 512, 3584], 8],
] as const)('%s: as many threads as memory holds, of eight cores', (_, [dK, dV, dIn], workers) => {
  expect(defaultWorkers([job(dK, dV, dIn), job(dK, dV, dIn)], 8)).toBe(workers);
});

test('at least one, whatever the job takes, and no more than cores', () => {
  expect(defaultWorkers([job(9000, 9000, 9000)], 4)).toBe(1);
  expect(defaultWorkers([job(8, 8, 16)], 3)).toBe(3);
});
