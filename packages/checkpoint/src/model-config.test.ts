import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { describe, expect, it } from 'vitest';
import { memoryStore } from './memory-store';
import { type ModelConfig, readModelConfig } from './model-config';

const read = (config: unknown) =>
  readModelConfig(memoryStore({ 'config.json': JSON.stringify(config) }));
const readFixture = (path: string) =>
  readModelConfig(memoryStore({ 'config.json': readFileSync(fixture(path), 'utf8') }));
const llama = (text: Record<string, unknown> = {}, top: Record<string, unknown> = {}) =>
  read({ model_type: 'llava', text_config: { model_type: 'llama', ...text }, ...top });

describe('readModelConfig', () => {
  it.each(['llava', 'llava_next', 'qwen2_5_vl'])(
    'both generations of %s say the same but for the stored precision',
    async (family) => {
      const older = await readFixture(`fixtures/hf/${family}/checkpoint/config.json`);
      const newer = await readFixture(`fixtures/hf/${family}/newer_layout/config.json`);
      const comparable = ({ text, ...config }: ModelConfig) => ({
        ...config,
        text: { ...text, modelType: text.modelType.replace(/_text$/, '') },
        raw: undefined,
        vision: undefined,
        dtype: undefined,
      });
      expect(comparable(older)).toEqual(comparable(newer));
      expect(newer.dtype).toBe('float32');
    },
  );

  it('reads every field of the LLaVA fixture, end tokens from the class defaults', async () => {
    const config = await readFixture('fixtures/hf/llava/checkpoint/config.json');
    expect(config).toMatchObject({ modelType: 'llava', imageTokenId: 400, dtype: 'float16' });
    expect(config.text).toEqual({
      modelType: 'llama',
      hiddenSize: 128,
      intermediateSize: 192,
      numHiddenLayers: 4,
      numAttentionHeads: 4,
      numKeyValueHeads: 4,
      headDim: 32,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      vocabSize: 448,
      maxPositionEmbeddings: 4096,
      attentionBias: false,
      tieWordEmbeddings: false,
      hiddenAct: 'silu',
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: 401,
    });
    expect(config.vision.patch_size).toBe(14);
  });

  it('reads M-RoPE, media tokens and the conversion of Qwen2.5-VL', async () => {
    const folder = 'fixtures/hf/qwen2_5_vl/mha2mla/converted_checkpoint';
    const config = await readFixture(`${folder}/config.json`);
    expect(config).toMatchObject({
      dtype: 'bfloat16',
      imageTokenId: 398,
      videoTokenId: 399,
      visionStartTokenId: 395,
      visionEndTokenId: 396,
      mha2mla: { low_rank: 20, rope_dim_for_mla: 16 },
      text: { attentionBias: true, mropeSection: [4, 6, 6], ropeTheta: 1e6 },
    });
    expect(config.text.ropeScaling).toBeUndefined();
  });

  it('a published config with few keys takes the defaults of its classes', async () => {
    // The text_config of llava-hf/llava-1.5-7b-hf, whole.
    const { text, imageTokenId } = await llama({
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      torch_dtype: 'float16',
      vocab_size: 32064,
    });
    expect(imageTokenId).toBe(32000);
    expect(text).toMatchObject({
      hiddenSize: 4096,
      intermediateSize: 11008,
      numHiddenLayers: 32,
      numKeyValueHeads: 32,
      headDim: 128,
      vocabSize: 32064,
    });
  });

  it.each([
    ['zero heads', { num_attention_heads: 0 }],
    ['zero layers', { num_hidden_layers: 0 }],
    ['a huge layer count', { num_hidden_layers: 2 ** 31 }],
    ['negative width', { hidden_size: -4096 }],
    ['a fraction', { num_hidden_layers: 1.5 }],
    ['a string', { hidden_size: '4096' }],
    ['beyond 2^53', { vocab_size: 1e300 }],
    ['heads that do not divide the width', { num_attention_heads: 3 }],
    ['KV heads that do not divide the heads', { num_key_value_heads: 3 }],
    ['zero KV heads', { num_key_value_heads: 0 }],
    ['an odd head', { head_dim: 33 }],
    ['heads far wider than the layer', { hidden_size: 64, num_attention_heads: 8, head_dim: 66 }],
    ['eps 0', { rms_norm_eps: 0 }],
    ['theta 0', { rope_theta: 0 }],
    [
      'M-RoPE sections that do not fill a head',
      { rope_scaling: { type: 'mrope', mrope_section: [16, 24, 25] } },
    ],
    ['two M-RoPE sections', { rope_scaling: { type: 'mrope', mrope_section: [32, 32] } }],
    ['token ids in a long list', { eos_token_id: Array.from({ length: 65 }, () => 1) }],
    ['a token id beyond any vocabulary', { bos_token_id: 2 ** 40 }],
    ['a bias in the MLP', { mlp_bias: true }],
    ['a boolean that is a string', { attention_bias: 'false' }],
    ['layer types that are no list', { layer_types: 'full_attention' }],
  ])('%s is refused', async (_, text) => {
    await expect(llama(text)).rejects.toMatchObject({ code: 'bad-config' });
  });

  it.each([
    ['text_config', { text_config: [] }],
    ['vision_config', { vision_config: 7 }],
    ['torch_dtype', { torch_dtype: 'int8' }],
    ['image tokens that differ', { image_token_id: 1, image_token_index: 2 }],
  ])('a broken %s is refused', async (_, top) => {
    await expect(llama({}, top)).rejects.toMatchObject({ code: 'bad-config' });
  });

  it('a type that is not known must state its keys', async () => {
    const config = { model_type: 'other', image_token_id: 3 };
    await expect(read(config)).rejects.toMatchObject({ code: 'bad-config' });
    await expect(read([])).rejects.toMatchObject({ code: 'not-object' });
    await expect(read({})).rejects.toMatchObject({ code: 'bad-config' });
  });

  it('a list of end tokens, older and newer names, scaling and precision are read', async () => {
    const { text, ...config } = await llama(
      {
        eos_token_id: [5, 6],
        pad_token_id: -1,
        rope_scaling: { rope_type: 'llama3', factor: 8 },
        dtype: 'bfloat16',
      },
      { image_token_id: 9, video_token_index: 10 },
    );
    expect(text.eosTokenIds).toEqual([5, 6]);
    expect(text.padTokenId).toBeUndefined();
    expect(text.ropeScaling).toEqual({
      ropeType: 'llama3',
      parameters: { rope_type: 'llama3', factor: 8 },
    });
    expect(config).toMatchObject({ imageTokenId: 9, videoTokenId: 10, dtype: 'bfloat16' });
  });

  it('a rotary part of a head, or settings by layer type, are refused by name', async () => {
    const refused = { code: 'unsupported-config' };
    await expect(llama({ partial_rotary_factor: 0.5 })).rejects.toMatchObject(refused);
    const byType = { full_attention: { rope_theta: 1e4 } };
    await expect(llama({ rope_parameters: byType })).rejects.toMatchObject(refused);
  });

  describe('sliding windows', () => {
    const mistral = (text: Record<string, unknown>) => llama({ model_type: 'mistral', ...text });
    const qwen = (text: Record<string, unknown>) =>
      llama({ model_type: 'qwen2_5_vl_text', ...text });

    it('an active one is refused by name', async () => {
      const refused = {
        code: 'unsupported-config',
        message: expect.stringContaining('sliding_window'),
      };
      await expect(mistral({ sliding_window: 4096 })).rejects.toMatchObject(refused);
      await expect(mistral({})).rejects.toMatchObject(refused); // MistralConfig's default is 4096
      await expect(llama({ sliding_window: 1024 })).rejects.toMatchObject(refused);
      await expect(qwen({ use_sliding_window: true })).rejects.toMatchObject(refused);
      await expect(qwen({ use_sliding_window: true, sliding_window: 8 })).rejects.toMatchObject(
        refused,
      );
      const layers = { layer_types: ['full_attention', 'sliding_attention'] };
      await expect(qwen(layers)).rejects.toMatchObject({ code: 'unsupported-config' });
    });

    it('an inactive one is fine', async () => {
      await expect(mistral({ sliding_window: null })).resolves.toBeDefined();
      await expect(
        qwen({ use_sliding_window: false, sliding_window: 32768 }),
      ).resolves.toBeDefined();
      await expect(qwen({ sliding_window: 32768 })).resolves.toBeDefined();
      await expect(llama({})).resolves.toBeDefined();
    });
  });
});
