import { describe, expect, test } from 'vitest';
import { choosePairs } from './choose-pairs';
import type { ConversionPlan, ConvertOptions } from './convert-options';
import { planConversion } from './plan-conversion';
import { openTinyLlava } from './tiny-llava';

const { decoder: config } = (await openTinyLlava()).config; // D 32, 4 heads, 2 KV heads of 8 dims
const uneven = { vision: [4, 5], text: [4, 6] };
const ranks = Uint8Array.from({ length: 2 * 2 * 8 }, (_, i) => i % 4);

test('fills in the defaults', () => {
  expect(planConversion(config, { rank: 4 })).toEqual({
    strategy: 'mkl',
    mklVariant: 'unrotate',
    mklSplit: 'rows',
    visionWeight: 0.5,
    ropeDim: 2,
    sectionQuotas: undefined,
    uniformStart: 0,
    ranks: undefined,
    unrotate: 'fitted',
    rank: 4,
    latentRanks: { vision: [4, 4], text: [4, 4] },
    allocation: 'uniform',
    factor: 'joint',
    init: 'activations',
    center: false,
    route: 'exact',
    decouple: true,
    groups: 1,
    propagate: 'converted',
    videoAsText: false,
    layout: 'extended',
    dtype: undefined,
    cache: {},
    needsAttention: true,
    needsCalibration: true,
  });
});

test.each<[ConvertOptions, Partial<ConversionPlan>]>([
  [{ factor: 'none' }, { rank: 0, needsAttention: true, needsCalibration: true }],
  [
    { rank: 4, ranks, ropeDim: 4 },
    { unrotate: 'plain', needsAttention: false },
  ],
  [
    { rank: 4, strategy: 'high' },
    { needsAttention: false, needsCalibration: true },
  ],
  [{ rank: 4, strategy: 'high', init: 'weights' }, { needsCalibration: false }],
  ...(['norm2', 'greedy'] as const).map((strategy): [ConvertOptions, Partial<ConversionPlan>] => [
    { rank: 4, strategy, init: 'weights' },
    { unrotate: 'fitted', needsAttention: true, needsCalibration: true },
  ]),
  [
    { rank: 4, strategy: 'high', init: 'attention' },
    { needsAttention: true, needsCalibration: true },
  ],
  [
    { factor: 'none', strategy: 'low', unrotate: 'fitted' },
    { needsAttention: true, needsCalibration: true },
  ],
])('%o needs no more than it has to', (options, expected) => {
  expect(planConversion(config, options)).toMatchObject(expected);
});

test.each<[string, ConvertOptions, RegExp]>([
  ['ropeDim', { ropeDim: 3, rank: 4 }, /ropeDim must be even and at most the head's 8, got 3/],
  ['ropeDim', { ropeDim: 10, rank: 4 }, /ropeDim must be even .* got 10/],
  ['ropeDim', { ropeDim: -2, rank: 4 }, /ropeDim must be even .* got -2/],
  ['no rank', {}, /rank must be an integer from 1 to 14 .* got undefined/],
  ['rank', { rank: 0 }, /rank must be an integer from 1 to 14 .* got 0/],
  ['rank', { rank: 2.5 }, /got 2.5/],
  ['joint rank', { rank: 15 }, /rank must be an integer from 1 to 14 .* got 15/],
  ['split rank', { rank: 7, factor: 'split' }, /rank must be an integer from 1 to 6 .* got 7/],
  ['key rank', { rank: 7, factor: 'key' }, /from 1 to 6/],
  ['value rank', { rank: 9, factor: 'value' }, /from 1 to 8/],
  ['rank of none', { rank: 4, factor: 'none' }, /factor none has no rank, got rank=4/],
  ['two kinds of ranks', { rank: 4, latentRanks: uneven }, /exclude each other, got both/],
  ['ranks of none', { factor: 'none', latentRanks: uneven }, /factor none has no rank/],
  [
    'ranks of a layer less',
    { latentRanks: { ...uneven, text: [4] } },
    /text must list 2 layers, got 1/,
  ],
  [
    'a rank of the table',
    { latentRanks: { ...uneven, text: [4, 15] } },
    /from 1 to 14 .* got 15 for text in layer 1/,
  ],
  [
    'a rank of the table',
    { latentRanks: { ...uneven, vision: [0, 1] } },
    /got 0 for vision in layer 0/,
  ],
  [
    'ranks of a shared latent',
    { latentRanks: uneven, decouple: false },
    /equal where .* got vision=5, text=6 in layer 1/,
  ],
  [
    'uneven ranks for the reference',
    { latentRanks: uneven, layout: 'reference' },
    /layout reference needs one rank for all latents/,
  ],
  ['all pairs', { rank: 1, factor: 'key', ropeDim: 8 }, /needs keys that are not rotated/],
  ['groups', { rank: 4, groups: 3 }, /groups must be auto or divide the 2 KV heads, got 3/],
  ['groups', { rank: 4, groups: 0 }, /groups must be auto or divide the 2 KV heads, got 0/],
  ['groups', { rank: 4, groups: 2, factor: 'value' }, /groups need factor joint, got value/],
  ['center', { rank: 4, center: true, init: 'weights' }, /center needs .* got init=weights/],
  ['center', { center: true, factor: 'none' }, /center needs .* factor=none/],
  ['uniform', { rank: 4, strategy: 'uniform', ropeDim: 6 }, /uniform needs ropeDim to divide/],
  ['start', { rank: 4, strategy: 'uniform', ropeDim: 4, uniformStart: 2 }, /uniformStart < 2/],
  ['ranks of another model', { rank: 4, ranks: ranks.slice(8) }, /ranks must be .* got 24/],
  ['ranks of a layer more', { rank: 4, ranks: Uint8Array.of(...ranks, ...ranks) }, /got 64/],
  ['ranks that repeat', { rank: 4, ranks: new Uint8Array(32) }, /Ranks must be a permutation/],
])('%s out of range is a RangeError', (_, options, message) => {
  const plan = () => planConversion(config, options);
  expect(plan).toThrow(RangeError);
  expect(plan).toThrow(message);
});

test('the latent of all KV heads is at most as wide as the model', () => {
  const mha = { ...config, numKeyValueHeads: 4 };
  expect(() => planConversion(mha, { rank: 9 })).toThrow(/rank must be an integer from 1 to 8/);
  // Each group has a latent of its own.
  expect(planConversion(mha, { rank: 14, groups: 2 }).rank).toBe(14);
});

test.each([
  'strategy',
  'mklVariant',
  'mklSplit',
  'unrotate',
  'factor',
  'init',
  'route',
  'propagate',
  'dtype',
])('a %s that there is not is a RangeError', (name) => {
  const options: ConvertOptions = { rank: 4, ...{ [name]: 'fastest' } };
  expect(() => planConversion(config, options)).toThrow(
    new RegExp(`^planConversion: ${name} must be one of .*, got "fastest"`),
  );
});

const withSections = { ...config, mropeSection: [1, 1, 2] };

test.each([
  ['proportional', [1, 0, 1]],
  [
    [0, 0, 2],
    [0, 0, 2],
  ],
] as const)('section quotas %j are counts a section in the plan', (sectionQuotas, expected) => {
  const options = { ropeDim: 4, rank: 4, sectionQuotas };
  expect(planConversion(withSections, options).sectionQuotas).toEqual(expected);
});

test.each<[ConvertOptions, RegExp]>([
  [{ sectionQuotas: [2, 0, 0] }, /quota 0 must be at most its section's 1 pairs, got 2/],
  [{ sectionQuotas: [1, 1, 1] }, /quotas must be 3 counts that sum to ropeDim \/ 2 = 2, got/],
  [{ sectionQuotas: [0, 0, 2], strategy: 'uniform', uniformStart: 1 }, /uniformStart < 1/],
  [
    { strategy: 'high', mklVariant: 'zero' },
    /mklVariant needs pairs chosen by mkl, got strategy h/,
  ],
  [
    { strategy: 'norm2', visionWeight: 1 },
    /visionWeight needs pairs chosen by mkl, got strategy n/,
  ],
  [{ ranks, mklSplit: 'keys' }, /mklSplit needs pairs chosen by mkl, got given ranks/],
  [{ visionWeight: Number.NaN }, /visionWeight must lie in \[0, 1\], got NaN/],
])('%j is refused', (options, message) => {
  const plan = () => planConversion(withSections, { ropeDim: 4, rank: 4, ...options });
  expect(plan).toThrow(RangeError);
  expect(plan).toThrow(message);
});

test('section quotas need sections', () => {
  expect(() => planConversion(config, { rank: 4, sectionQuotas: 'proportional' })).toThrow(
    /sectionQuotas need a model with M-RoPE/,
  );
});

test('a cache setting is checked', () => {
  const cache = { kvBits: 4, groupSize: 0 } as const;
  expect(() => planConversion(config, { rank: 4, cache })).toThrow(/group_size must be .* got 0/);
});

describe('a partial-RoPE model', () => {
  const heads = Array.from({ length: config.numKeyValueHeads }, () => Int32Array.of(0, 2));
  const ropePairs = Array.from({ length: config.numHiddenLayers }, () => heads);
  const partial = { ...config, mla: { ropePairs, groups: 1 } };

  test('keeps its pairs, and sees no attention', () => {
    const plan = planConversion(partial, { rank: 4, ropeDim: 4, unrotate: 'plain' });
    expect(plan).toMatchObject({ ropeDim: 4, unrotate: 'plain', needsAttention: false });
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      expect(choosePairs(partial, plan, layer)).toEqual(heads);
    }
    expect(planConversion(partial, { kvBudget: 0.5 })).toMatchObject({ ropeDim: 4 });
  });

  test.each<[ConvertOptions, RegExp]>([
    [{ ropeDim: 2 }, /its own pairs \(ropeDim=4\).* got ropeDim=2\. Leave it out/],
    [{ strategy: 'mkl', visionWeight: 0.3 }, /got strategy=mkl, visionWeight=0.3\. Leave them out/],
    [{ mklVariant: 'zero' }, /got mklVariant=zero/],
    [{ mklSplit: 'keys' }, /got mklSplit=keys/],
    [{ sectionQuotas: 'proportional' }, /got sectionQuotas=proportional/],
    [{ uniformStart: 1 }, /got uniformStart=1/],
    [{ ranks: new Uint8Array(3) }, /got ranks=a table/],
    [{ unrotate: 'fitted' }, /got unrotate=fitted/],
    [{ init: 'attention' }, /by weights or activations, got init=attention/],
    [{ allocation: 'measured' }, /got allocation=measured/],
    [{ factor: 'none', rank: undefined }, /got factor=none/],
  ])('is not given other pairs: %o', (options, message) => {
    expect(() => planConversion(partial, { rank: 4, ...options })).toThrow(message);
  });

  test('needs as many pairs in all layers', () => {
    const fewer = heads.map(() => Int32Array.of(0));
    const mla = { ropePairs: [...ropePairs.slice(1), fewer], groups: 1 };
    expect(() => planConversion({ ...config, mla }, { rank: 4 })).toThrow(
      /as many pairs in all layers, got 2 in layer 0 and 1 in layer/,
    );
  });
});
