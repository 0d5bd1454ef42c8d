import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { expect, it } from 'vitest';
import { encodeRankFile } from './encode-rank-file';
import { memorySource } from './memory-store';
import { readRankFile } from './read-rank-file';

it.each(['llava', 'llava_next', 'qwen2_5_vl'])(
  'the ranks of %s are read back from what is written',
  async (family) => {
    const bytes = readFileSync(fixture(`fixtures/hf/${family}/mha2mla/ranks.pth`));
    const original = await readRankFile(memorySource(new Uint8Array(bytes)));
    expect(await readRankFile(memorySource(encodeRankFile(original)))).toEqual(original);
  },
);

it('the largest shape of a real model is read back', async () => {
  const ranks = Uint8Array.from({ length: 80 * 8 * 128 }, (_, i) => i % 64);
  const file = { ranks, shape: [80, 8, 128] as [number, number, number] };
  expect(await readRankFile(memorySource(encodeRankFile(file)))).toEqual(file);
});

it('ranks of another number are refused', () => {
  const file = { ranks: new Uint8Array(7), shape: [1, 2, 4] as [number, number, number] };
  expect(() => encodeRankFile(file)).toThrow('ranks must be [1,2,4], got 7 values');
});
