import { readFileSync } from 'node:fs';
import { parseModelConfig } from '@mha2mla/checkpoint';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { parseLlavaNextConfig } from './llava-next-config';

const read = (path: string) =>
  JSON.parse(readFileSync(fixture(`fixtures/hf/llava_next/${path}/config.json`), 'utf8'));
const raw = read('checkpoint');
const parse = (json: object) => parseLlavaNextConfig(parseModelConfig({ ...json }));

const pinpoints = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];
const resolutions = pinpoints.map(([height, width]) => ({ height, width }));
const tower = {
  hidden_size: 1024,
  image_size: 336,
  intermediate_size: 4096,
  model_type: 'clip_vision_model',
  num_attention_heads: 16,
  num_hidden_layers: 24,
  patch_size: 14,
  projection_dim: 768,
  vocab_size: 32000,
};
/** As published on the hub: what equals a class's default is left out. */
const published = {
  mistral: {
    image_grid_pinpoints: pinpoints,
    image_token_index: 32000,
    model_type: 'llava_next',
    text_config: {
      intermediate_size: 14336,
      max_position_embeddings: 32768,
      model_type: 'mistral',
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 1e6,
      sliding_window: null,
      vocab_size: 32064,
    },
    vision_config: tower,
  },
  llama3: {
    image_grid_pinpoints: pinpoints,
    image_token_index: 128256,
    model_type: 'llava_next',
    text_config: {
      bos_token_id: 128000,
      eos_token_id: 128009,
      intermediate_size: 14336,
      max_position_embeddings: 8192,
      model_type: 'llama',
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 500000,
      vocab_size: 128320,
    },
    vision_config: tower,
  },
};

test.each([
  ['mistral', { ropeTheta: 1e6, vocabSize: 32064, rmsNormEps: 1e-5 }, [2], 32000],
  ['llama3', { ropeTheta: 500000, vocabSize: 128320, rmsNormEps: 1e-5 }, [128009], 128256],
] as const)('the sparse config of the published %s model has its values', (name, own, eos, id) => {
  const config = parse(published[name]);
  expect(config.decoder).toMatchObject({
    ...own,
    hiddenSize: 4096,
    intermediateSize: 14336,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 8,
    headDim: 128,
    tieWordEmbeddings: false,
  });
  expect(config).toMatchObject({ imageTokenId: id, eosTokenIds: eos, gridPinpoints: resolutions });
  expect(config.clip).toMatchObject({ featureLayers: 23, dropClassToken: true, imageSize: 336 });
});

test('resolutions that are left out are those of the class', () => {
  const { image_grid_pinpoints, ...rest } = published.llama3;
  expect(parse(rest).gridPinpoints).toEqual(resolutions);
  expect(parse({ ...rest, image_grid_pinpoints: null }).gridPinpoints).toEqual(resolutions);
});

test('both generations of a config say the same', () => {
  const comparable = (json: object) => {
    const { source, projectorAct, clip, ...config } = parse(json);
    return { ...config, clip: { ...clip, hiddenAct: undefined } };
  };
  expect(comparable(read('newer_layout'))).toEqual(comparable(raw));
});

test('a sliding window is refused, given or by default of the class', () => {
  const { sliding_window, ...text } = published.mistral.text_config;
  const windowed = (change: object) => () =>
    parse({ ...published.mistral, text_config: { ...text, ...change } });
  expect(windowed({ sliding_window: 4096 })).toThrow(/got sliding_window 4096\./);
  expect(windowed({})).toThrow(/got sliding_window 4096 \(the default of its model type\)/);
});

describe('values that make no sense are refused by name', () => {
  test.each<[string, unknown, RegExp]>([
    ['no list', { 0: [56, 56] }, /must be a list of \[height, width\], got \{"0":\[56,56\]\}/],
    ['text', '(1x1),(6x6)', /must be a list/],
    ['none', [], /must hold 1 to 64 resolutions, got 0/],
    ['too many', Array(65).fill([56, 56]), /1 to 64 resolutions, got 65/],
    ['a number', [56], /multiples of the tower's 56 pixels, got 56/],
    ['three sides', [[56, 56, 56]], /hold \[height, width\].*got \[56,56,56\]/],
    ['zero', [[0, 56]], /got \[0,56\]/],
    ['negative', [[56, -56]], /got \[56,-56\]/],
    ['a fraction', [[56.5, 56]], /got \[56.5,56\]/],
    ['text sides', [['56', 56]], /got \["56",56\]/],
    ['no multiple', [[84, 56]], /multiples of the tower's 56 pixels, got \[84,56\]/],
    ['many tiles', [[56 * 65, 56]], /at most 16777216 pixels and 64 tiles, got \[3640,56\]/],
    ['beyond 2^53', [[56 * 2 ** 60, 56]], /multiples/],
  ])('image_grid_pinpoints: %s', (_, image_grid_pinpoints, message) => {
    expect(() => parse({ ...raw, image_grid_pinpoints })).toThrow(message);
    expect(() => parse({ ...raw, image_grid_pinpoints })).toThrow(RangeError);
  });

  test('resolutions of more pixels than a picture may have', () => {
    const vision_config = { ...raw.vision_config, image_size: 896 };
    const json = { ...raw, vision_config, image_grid_pinpoints: [[3584, 5376]] };
    expect(() => parse(json)).toThrow(/at most 16777216 pixels/);
  });

  test('the class token, which has no place in a grid', () => {
    const json = { ...raw, vision_feature_select_strategy: 'full' };
    expect(() => parse(json)).toThrow(/vision_feature_select_strategy must be default, got full/);
  });
});
