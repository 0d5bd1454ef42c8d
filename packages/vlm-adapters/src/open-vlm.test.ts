import { readFileSync } from 'node:fs';
import { memoryStore, parseModelConfig } from '@mha2mla/checkpoint';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { llava } from './llava/llava-family';
import { openVlm } from './open-vlm';
import { tensorStore } from './testing/tensor-store';

const raw = JSON.parse(readFileSync(fixture('fixtures/hf/llava/checkpoint/config.json'), 'utf8'));

test('the config picks the family, and no weight is read', async () => {
  const none = new Map<string, never>();
  const source = await openVlm(await tensorStore(raw, none), { families: [llava] });
  expect(source.family).toBe(llava);
  expect(source.checkpoint.tensors.size).toBe(0);
  expect(source.config).toMatchObject({ imageTokenId: 400, visionTokenIds: [400] });
});

test('a model type of no given family is refused, with those that are known', async () => {
  const store = memoryStore({
    'config.json': JSON.stringify({ ...raw, model_type: 'llava_next' }),
  });
  const message = 'model_type must be one of llava, got "llava_next" in memory';
  await expect(openVlm(store, { families: [llava] })).rejects.toThrow(message);
  const empty = openVlm(memoryStore({}), { families: [llava] });
  await expect(empty).rejects.toMatchObject({ code: 'missing-file' });
});

describe('a config that does not fit is refused by name', () => {
  const text = (change: object) => ({ text_config: { ...raw.text_config, ...change } });
  const vision = (change: object) => ({ vision_config: { ...raw.vision_config, ...change } });
  test.each<[string, object, RegExp]>([
    ['activation of the decoder', text({ hidden_act: 'gelu' }), /hidden_act must be silu/],
    ['scaled positions', text({ rope_scaling: { type: 'linear', factor: 2 } }), /rope_scaling/],
    ['KV heads', text({ num_key_value_heads: 3 }), /num_key_value_heads.*divide/],
    ['zero layers', text({ num_hidden_layers: 0 }), /num_hidden_layers/],
    ['huge layers', text({ num_hidden_layers: 2 ** 40 }), /num_hidden_layers/],
    ['converted, without pairs', { mha2mla: {} }, /rope_pairs must be present/],
    ['another tower', vision({ model_type: 'siglip_vision_model' }), /must be clip_vision_model/],
    ['tower of no heads', vision({ num_attention_heads: 0 }), /num_attention_heads/],
    ['tower heads', vision({ num_attention_heads: 3 }), /multiple of num_attention_heads/],
    ['patches', vision({ patch_size: 57 }), /must not exceed image_size, got 57 and 56/],
    ['many patches', vision({ image_size: 1024 }), /at most 4096 patches, got 5329/],
    ['a huge picture', vision({ image_size: 1e6 }), /image_size/],
    ['activation of the tower', vision({ hidden_act: 'relu' }), /got "relu"/],
    ['epsilon', vision({ layer_norm_eps: 0 }), /layer_norm_eps/],
    ['feature layer', { vision_feature_layer: -6 }, /one of 5 hidden states, got -6/],
    ['several feature layers', { vision_feature_layer: [-2, -1] }, /got \[-2,-1\]/],
    ['feature strategy', { vision_feature_select_strategy: 'cls' }, /default or full, got "cls"/],
    ['projector', { projector_hidden_act: 'tanh' }, /got "tanh"/],
  ])('%s', (_, change, message) => {
    expect(() => llava.parseConfig(parseModelConfig({ ...raw, ...change }))).toThrow(message);
  });
});
