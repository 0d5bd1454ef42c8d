import { gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import type { DecoderConfig } from '../decoder-config';
import {
  type RandomDecoderOptions,
  randomConfig,
  randomWeights,
} from '../random-weights.reference';
import { cacheBytesPerToken } from './cache-bytes';
import type { CacheOptions } from './cache-options';

/** 2 layers, K = 2 KV heads of 8, so that by hand each line is 2 * (...). */
const CASES: [string, RandomDecoderOptions, CacheOptions, number, number][] = [
  ['original: 2 bytes of K (8 + 8)', { form: 'original' }, {}, 128, 128],
  ['original at 8 bits, a group a head', { form: 'original' }, { kvBits: 8 }, 96, 96],
  ['partial RoPE: as the original', { form: 'none' }, {}, 128, 128],
  ['joint: 2 bytes of C + K R', { decoupled: true }, {}, 80, 80],
  ['joint, shared', {}, {}, 80, 80],
  ['split: 2 C + K R', { form: 'split', decoupled: true }, {}, 128, 128],
  ['keys only: C + K V + K R', { form: 'key', decoupled: true }, {}, 144, 144],
  ['values only: K P + C + K R', { form: 'value', decoupled: true }, {}, 112, 112],
  ['2 groups of C / 2', { decoupled: true, groups: 2 }, {}, 80, 80],
  // C 12 in groups of 4: at 4 bits 2 words and 3 of params; kPe (8) at 8 bits 2 words and 2.
  ['4 bits, rope at 8', { decoupled: true }, { kvBits: 4, groupSize: 4 }, 72, 72],
  ['4 bits, rope at 4', { decoupled: true }, { kvBits: 4, ropeBits: 4, groupSize: 4 }, 64, 64],
  ['4 bits, rope at 16', { decoupled: true }, { kvBits: 4, ropeBits: 16, groupSize: 4 }, 72, 72],
  ['8 bits', { decoupled: true }, { kvBits: 8, groupSize: 4 }, 80, 80],
  ['16 bits', { decoupled: true }, { kvBits: 16 }, 80, 80],
  // C 12 in groups of 4: at 2 bits 1 word and 3 of params; kPe at 8 bits 2 words and 2.
  ['hqq, 2 bits', { decoupled: true }, { kvMethod: 'hqq', kvBits: 2, groupSize: 4 }, 64, 64],
  // 12 channels of 3 bits in 2 words, a factor a token; kPe (8) at 8 bits 2 words and 1.
  ['lloyd-max, 3 bits', { decoupled: true }, { kvMethod: 'lloyd-max', kvBits: 3 }, 48, 48],
  // 2 words and 12 / 32 of params; kPe 2 words and 8 / 32.
  ['kivi, 4 bits', { decoupled: true }, { kvMethod: 'kivi', kvBits: 4 }, 37, 37],
  // Of each head (8) keys take 1 word and 8 / 32, values 1 and 1.
  ['kivi of keys and values', { form: 'original' }, { kvMethod: 'kivi', kvBits: 4 }, 52, 52],
  [
    '4 bits of vision only',
    { decoupled: true },
    { kvBits: { vision: 4, text: 16 }, groupSize: 4 },
    72,
    80,
  ],
  [
    '4 bits, the first layer exempt: 80 / 2 + 72 / 2',
    { decoupled: true },
    { kvBits: 4, groupSize: 4, layers: { 0: { kvBits: 16 } } },
    76,
    76,
  ],
  [
    'bits of a layer by modality, its rotary keys at 8',
    { decoupled: true },
    { groupSize: 4, layers: { 1: { kvBits: { vision: 4, text: 16 }, ropeBits: 8 } } },
    76,
    80,
  ],
];

describe('cacheBytesPerToken', () => {
  test.each(CASES)('%s', (_, options, cache, vision, text) => {
    const config = randomConfig(options);
    const weights = randomWeights(config, options, gaussian);
    const shape = (name: string) => weights.get(name)?.shape;
    expect(cacheBytesPerToken(config, { shape }, cache)).toEqual({ vision, text });
  });

  /** Bytes over all layers, of models whose weights are not here. */
  test.each([
    ['LLaVA-1.5-7B', 32, 32, 128, 524_288],
    ['LLaVA-NeXT-8B', 32, 8, 128, 131_072],
    ['Qwen2.5-VL-7B', 28, 4, 128, 57_344],
  ])('%s as published', (_, numHiddenLayers, numKeyValueHeads, headDim, expected) => {
    const config = { numHiddenLayers, numKeyValueHeads, headDim } as DecoderConfig;
    const bytes = cacheBytesPerToken(config, { shape: () => undefined });
    expect(bytes).toEqual({ vision: expected, text: expected });
  });

  test('MLA of Qwen2.5-VL-7B: 2 bytes of L K (R + d_kv)', () => {
    const heads = Array.from({ length: 4 }, () => Int32Array.from({ length: 16 }, (_, i) => i));
    const config = {
      numHiddenLayers: 28,
      numKeyValueHeads: 4,
      headDim: 128,
      mla: { ropePairs: Array.from({ length: 28 }, () => heads), groups: 1 },
    } as unknown as DecoderConfig;
    const shape = (name: string) => (name.endsWith('down_kv.weight') ? [4 * 64, 3584] : undefined);
    const expected = 2 * 28 * 4 * (32 + 64);
    expect(cacheBytesPerToken(config, { shape }).text).toBe(expected);
  });
});
