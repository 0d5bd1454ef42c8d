import { expect, test } from 'vitest';
import type { ConvertOptions } from './convert-options';
import { planConversion } from './plan-conversion';
import { openTinyLlava } from './tiny-llava';

const { decoder: tiny } = (await openTinyLlava()).config;
const heads = { numHiddenLayers: 2, headDim: 128, numAttentionHeads: 32 };
const models = {
  'llava-1.5-7b': { ...tiny, ...heads, hiddenSize: 4096, numKeyValueHeads: 32 },
  'llava-next-mistral-7b': { ...tiny, ...heads, hiddenSize: 4096, numKeyValueHeads: 8 },
  'qwen2.5-vl-7b': {
    ...{ ...tiny, ...heads, hiddenSize: 3584 },
    ...{ numAttentionHeads: 28, numKeyValueHeads: 4 },
  },
  'of 7 heads': { ...tiny, ...heads, hiddenSize: 28 * 128, numKeyValueHeads: 7 },
};

// Products a head and token, original 256: 2 * rank * KV heads / groups + ropeDim, at most 896.
test.each<[keyof typeof models, ConvertOptions, number]>([
  ['llava-1.5-7b', { rank: 64, ropeDim: 32 }, 8], // 544; in 4 groups 1,056
  ['llava-1.5-7b', { kvBudget: 0.375 }, 8],
  ['llava-1.5-7b', { rank: 32, ropeDim: 32 }, 4],
  ['llava-1.5-7b', { rank: 16, ropeDim: 16 }, 1],
  ['llava-1.5-7b', { rank: 32, ropeDim: 30 }, 1], // 2,078, of less than a quarter of the values
  ['llava-1.5-7b', { rank: 64, ropeDim: 32, groups: 1 }, 1],
  [
    'llava-1.5-7b',
    { latentRanks: { vision: [8, 8], text: [52, 64] }, ropeDim: 32 }, // 33 on average
    4,
  ],
  [
    'llava-1.5-7b',
    { latentRanks: { vision: [8, 8], text: [44, 64] }, ropeDim: 32 }, // 31: below a quarter
    1,
  ],
  ['llava-next-mistral-7b', { rank: 64, ropeDim: 32 }, 2], // 544; joint 1,056
  ['qwen2.5-vl-7b', { rank: 64, ropeDim: 32 }, 1], // 544
  ['of 7 heads', { rank: 128, ropeDim: 32 }, 7], // 1,824 joint; 7 has no other divisor
])('%s, %o: %i', (model, options, groups) => {
  expect(planConversion(models[model], options).groups).toBe(groups);
});

test.each<ConvertOptions>([
  { rank: 64, factor: 'split' },
  { factor: 'none' },
  { rank: 64, layout: 'reference' },
  { kvBudget: 0.375, spend: 'auto' },
])('%o: one latent', (options) => {
  expect(planConversion(models['llava-1.5-7b'], options).groups).toBe(1);
});
