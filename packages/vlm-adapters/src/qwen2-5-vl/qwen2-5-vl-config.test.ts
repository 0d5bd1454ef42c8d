import { readFileSync } from 'node:fs';
import { parseModelConfig } from '@mha2mla/checkpoint';
import { expectClose, fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { parseQwen25VlConfig } from './qwen2-5-vl-config';

const read = (path: string) =>
  JSON.parse(readFileSync(fixture(`fixtures/hf/qwen2_5_vl/${path}/config.json`), 'utf8'));
const raw = read('checkpoint');
const parse = (json: object) => parseQwen25VlConfig(parseModelConfig({ ...json }));

const shared = {
  bos_token_id: 151643,
  eos_token_id: 151645,
  image_token_id: 151655,
  max_position_embeddings: 128000,
  model_type: 'qwen2_5_vl',
  rms_norm_eps: 1e-6,
  rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
  rope_theta: 1e6,
  sliding_window: 32768,
  use_sliding_window: false,
};
/** As published on the hub, without the keys of the tower that equal its class's defaults. */
const published = {
  '3B': {
    ...shared,
    hidden_size: 2048,
    intermediate_size: 11008,
    num_attention_heads: 16,
    num_hidden_layers: 36,
    num_key_value_heads: 2,
    tie_word_embeddings: true,
    vision_config: { hidden_size: 1280, in_chans: 3, out_hidden_size: 2048, tokens_per_second: 2 },
    vocab_size: 151936,
  },
  '7B': {
    ...shared,
    hidden_size: 3584,
    intermediate_size: 18944,
    num_attention_heads: 28,
    num_hidden_layers: 28,
    num_key_value_heads: 4,
    tie_word_embeddings: false,
    vision_config: { hidden_size: 1280, tokens_per_second: 2 },
    vocab_size: 152064,
  },
  '72B': {
    ...shared,
    hidden_size: 8192,
    intermediate_size: 29568,
    num_attention_heads: 64,
    num_hidden_layers: 80,
    num_key_value_heads: 8,
    tie_word_embeddings: false,
    vision_config: {
      hidden_size: 1280,
      intermediate_size: 3456,
      out_hidden_size: 8192,
      tokens_per_second: 2,
    },
    vocab_size: 152064,
  },
};

test.each([
  ['3B', { numAttentionHeads: 16, numKeyValueHeads: 2, tieWordEmbeddings: true }, 3420],
  ['7B', { numAttentionHeads: 28, numKeyValueHeads: 4, tieWordEmbeddings: false }, 3420],
  ['72B', { numAttentionHeads: 64, numKeyValueHeads: 8, tieWordEmbeddings: false }, 3456],
] as const)('the sparse config of the published %s model has its values', (name, own, inner) => {
  const { hidden_size, num_hidden_layers, intermediate_size, vocab_size } = published[name];
  const config = parse(published[name]);
  expect(config.decoder).toMatchObject({
    ...own,
    hiddenSize: hidden_size,
    intermediateSize: intermediate_size,
    numHiddenLayers: num_hidden_layers,
    vocabSize: vocab_size,
    headDim: 128,
    mropeSection: [16, 24, 24],
    ropeTheta: 1e6,
    rmsNormEps: 1e-6,
  });
  expect(config).toMatchObject({
    imageTokenId: 151655,
    videoTokenId: 151656,
    visionTokenIds: [151655, 151656, 151652, 151653],
    eosTokenIds: [151645],
    tokensPerSecond: 2,
  });
  expect(config.vision).toMatchObject({
    depth: 32,
    hiddenSize: 1280,
    intermediateSize: inner,
    numHeads: 16,
    patchSize: 14,
    temporalPatchSize: 2,
    spatialMergeSize: 2,
    windowSide: 4,
    fullAttentionBlocks: [7, 15, 23, 31],
  });
  // A head of 80 has 20 pairs for rows and 20 for columns: 10000^(-i / 20).
  const expected = Array.from({ length: 20 }, (_, i) => 10_000 ** (-i / 20));
  // Bases of one half of the dims, in float32.
  expectClose(config.vision.rotaryFrequencies, expected, { rel: 1e-6 });
});

test('keys of the tower that are left out are those of Qwen2_5_VLVisionConfig', () => {
  const { vision, tokensPerSecond } = parse({ ...published['7B'], vision_config: {} });
  expect(vision).toMatchObject({ depth: 32, hiddenSize: 3584, numHeads: 16, windowSide: 4 });
  expect(tokensPerSecond).toBe(4);
});

test('both generations of a config say the same', () => {
  const comparable = (json: object) => {
    const { source, vision, ...config } = parse(json);
    const { hiddenAct, ...rest } = vision;
    return { ...config, vision: rest };
  };
  expect(comparable(read('newer_layout'))).toEqual(comparable(raw));
});

test('a window is as many merge units as fit in its side', () => {
  const sideOf = (window_size: number) =>
    parse({ ...raw, vision_config: { ...raw.vision_config, window_size } }).vision.windowSide;
  expect([28, 55, 56, 112, 139].map(sideOf)).toEqual([1, 1, 2, 4, 4]);
});

test('a tower may have no block with full attention, or fewer blocks than are listed', () => {
  const blocksOf = (change: object) =>
    parse({ ...raw, vision_config: { ...raw.vision_config, ...change } }).vision
      .fullAttentionBlocks;
  expect(blocksOf({ fullatt_block_indexes: [] })).toEqual([]);
  // A cut-down tower, with the class's list written out or left out.
  const listed = [7, 15, 23, 31];
  expect(blocksOf({ depth: 2, fullatt_block_indexes: listed })).toEqual(listed);
  expect(blocksOf({ depth: 2, fullatt_block_indexes: undefined })).toEqual(listed);
});

describe('values of the tower that make no sense are refused by name', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['no blocks', { depth: 0 }, /"depth" must be an integer in 1\.\.512, got "0"/],
    ['negative depth', { depth: -1 }, /"depth" .* got "-1"/],
    ['huge depth', { depth: 1e9 }, /"depth" .* got "1000000000"/],
    ['a fraction', { depth: 2.5 }, /"depth" .* got "2\.5"/],
    ['a text', { depth: '4' }, /"depth" .* got "\\"4\\""/],
    ['no heads', { num_heads: 0 }, /"num_heads" .* got "0"/],
    ['heads that do not divide', { num_heads: 3 }, /hidden_size must be a multiple of 4 .*\(12\)/],
    ['heads of half a pair an axis', { num_heads: 32 }, /hidden_size .*\(128\), got 64/],
    ['no width', { hidden_size: 0 }, /"hidden_size" .* got "0"/],
    ['huge width', { hidden_size: 2 ** 31 }, /"hidden_size" .* got "2147483648"/],
    ['no inner width', { intermediate_size: 0 }, /"intermediate_size" .* got "0"/],
    ['no patch', { patch_size: 0 }, /"patch_size" .* got "0"/],
    ['huge patch', { patch_size: 2 ** 31 }, /"patch_size" .* got "2147483648"/],
    ['no time', { temporal_patch_size: 0 }, /"temporal_patch_size" .* got "0"/],
    ['no unit', { spatial_merge_size: 0 }, /"spatial_merge_size" .* got "0"/],
    ['no window', { window_size: 0 }, /"window_size" .* got "0"/],
    ['a window below a unit', { window_size: 27 }, /window_size must hold .*\(28 pixels\), got 27/],
    ['another width out', { out_hidden_size: 64 }, /out_hidden_size must .*\(128\), got 64/],
    ['grey pictures', { in_channels: 1 }, /in_channels must be 3, got 1/],
    ['grey, by the older key', { in_channels: undefined, in_chans: 1 }, /in_channels .* got 1/],
    [
      'a negative block',
      { fullatt_block_indexes: [-1] },
      /"fullatt_block_indexes" .* got "\[-1\]"/,
    ],
    ['a block beyond any', { fullatt_block_indexes: [512] }, /0\.\.511, got "\[512\]"/],
    ['blocks in a text', { fullatt_block_indexes: '1,3' }, /"fullatt_block_indexes"/],
    ['half a block', { fullatt_block_indexes: [1.5] }, /"fullatt_block_indexes"/],
    ['time that runs back', { tokens_per_second: -1 }, /"tokens_per_second" .* got "-1"/],
    ['huge time', { tokens_per_second: 1e9 }, /"tokens_per_second" .* got "1000000000"/],
    ['another base', { rope_parameters: { rope_theta: 5 } }, /rope_theta must be 10000, got 5/],
    ['an activation', { hidden_act: 'tanh' }, /tanh/],
  ])('%s', (_, change, message) => {
    expect(() => parse({ ...raw, vision_config: { ...raw.vision_config, ...change } })).toThrow(
      message,
    );
  });
});

describe('settings of the decoder that are not computed are refused by name', () => {
  const scaled = (rope_scaling: unknown) => ({ rope_scaling });
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['no sections', scaled({ type: 'mrope' }), /mrope_section must list .* got none/],
    ['no scaling', scaled(null), /mrope_section must list .* got none/],
    [
      'another sum',
      scaled({ type: 'mrope', mrope_section: [4, 6, 5] }),
      /mrope_section.*\[4,6,5\]/,
    ],
    ['two axes', scaled({ type: 'mrope', mrope_section: [8, 8] }), /mrope_section.*\[8,8\]/],
    ['negative', scaled({ type: 'mrope', mrope_section: [-4, 10, 10] }), /mrope_section.*\[-4,/],
    [
      'yarn',
      scaled({ type: 'yarn', factor: 4, mrope_section: [4, 6, 6] }),
      /rope_scaling must be absent or default, got .*yarn/,
    ],
    ['a sliding window', { use_sliding_window: true }, /whole context, got sliding_window 32768/],
    ['one token for both', { video_token_id: raw.image_token_id }, /must differ, got 398 twice/],
    ['an activation', { hidden_act: 'gelu' }, /hidden_act must be silu, got "?gelu/],
  ])('%s', (_, change, message) => {
    expect(() => parse({ ...raw, ...change })).toThrow(message);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['yarn', { rope_type: 'yarn', factor: 4 }, /rope_scaling must be .*yarn/],
    ['no sections', { mrope_section: undefined }, /mrope_section must list .* got none/],
  ])('in a newer config: %s', (_, change, message) => {
    const { text_config, ...rest } = read('newer_layout');
    const rope_parameters = { ...text_config.rope_parameters, ...change };
    const json = { ...rest, text_config: { ...text_config, rope_parameters } };
    expect(() => parse(json)).toThrow(message);
  });

  test('no tower', () => {
    const { vision_config, ...rest } = raw;
    expect(() => parse(rest)).toThrow(/vision_config/);
  });
});
