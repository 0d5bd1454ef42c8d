import { expect, test } from 'vitest';
import { cacheBlock, parseCacheSetting } from './cache-setting';

test('a setting survives its way through the config file', () => {
  for (const setting of [
    {},
    { kvBits: 4 as const },
    { kvBits: { vision: 4 as const, text: 8 as const }, ropeBits: 16 as const, groupSize: 64 },
    { kvBits: 3 as const, kvMethod: 'lloyd-max' as const, latentsTurned: true, residualLength: 0 },
    { kvBits: 4 as const, layers: { 0: { kvBits: 16 as const }, 12: { ropeBits: 8 as const } } },
  ]) {
    const block = JSON.parse(JSON.stringify({ cache: cacheBlock(setting) }));
    expect(parseCacheSetting(block)).toEqual(setting);
  }
});

test('a model without a setting has none', () => {
  expect(parseCacheSetting({})).toEqual({});
});

test('settings that no cache has are refused by name', () => {
  const parse = (cache: unknown) => () => parseCacheSetting({ cache });
  expect(parse({ kv_bits: 5 })).toThrow(/cache\.kv_bits must be one of 2, 3, 4, 8, 16, got 5/);
  expect(parse({ kv_bits: { vision: '4' } })).toThrow(/kv_bits\.vision/);
  expect(parse({ rope_bits: 1e9 })).toThrow(/rope_bits/);
  expect(parse({ group_size: 0 })).toThrow(/group_size/);
  expect(parse({ group_size: 2 ** 40 })).toThrow(/group_size/);
  expect(parse({ kv_method: 'nf4' })).toThrow(/kv_method must be one of affine, .*, got "nf4"/);
  expect(parse({ latents_turned: 1 })).toThrow(/latents_turned/);
  expect(parse({ residual_length: -1 })).toThrow(/residual_length/);
  expect(parse({ residual_length: 2 ** 40 })).toThrow(/residual_length/);
  expect(parse({ layers: { 1: { kv_bits: 5 } } })).toThrow(/cache\.layers\.1\.kv_bits must be/);
  expect(parse({ layers: { '-1': {} } })).toThrow(/name layers by number, got "-1"/);
  expect(parse({ layers: [4] })).toThrow();
  expect(parse('4')).toThrow();
});
