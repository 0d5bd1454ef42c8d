import { expect, test } from 'vitest';
import { memoryStore } from './memory-store';
import { parseModelConfig } from './model-config';
import { modelFiles, rankFileName } from './model-files';

const text_config = {
  hidden_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 1,
  intermediate_size: 8,
  vocab_size: 9,
};
const block = { partial_rope_version: 'mkl', qk_tensor_path: '../mkl/llava-ranks.pth' };
const rawOf = (mha2mla: object) => ({ model_type: 'llava', mha2mla, text_config });
const configOf = (mha2mla: object) => parseModelConfig(rawOf(mha2mla));

test('a rank file is asked for by its base name, and only where pairs are not listed', () => {
  expect(rankFileName(configOf(block))).toBe('llava-ranks.pth');
  expect(rankFileName(configOf({ ...block, qk_tensor_path: 'C:\\mkl\\a.pth' }))).toBe('a.pth');
  expect(rankFileName(configOf({ ...block, rope_pairs: [] }))).toBeUndefined();
  expect(rankFileName(configOf({ ...block, partial_rope_version: 'high' }))).toBeUndefined();
  expect(rankFileName(configOf({ ...block, qk_tensor_path: null }))).toBeUndefined();
  for (const path of ['..', 'a/', 'mkl/..', 'x?y', 'a%2fb', '']) {
    expect(() => rankFileName(configOf({ ...block, qk_tensor_path: path }))).toThrow(/plain base/);
  }
});

test('a model is its config, its weights, and whatever else is there', async () => {
  const config = JSON.stringify(rawOf(block));
  const single = { 'config.json': config, 'model.safetensors': '' };
  const { required, optional } = await modelFiles(memoryStore(single));
  expect(required).toEqual(['config.json', 'model.safetensors']);
  expect(optional).toContain('tokenizer.json');
  expect(optional).toContain('llava-ranks.pth');
  const index = (shard: string) =>
    memoryStore({
      'config.json': config,
      'model.safetensors.index.json': JSON.stringify({ weight_map: { b: shard, a: shard } }),
    });
  const shards = await modelFiles(index('a.safetensors'));
  expect(shards.required.slice(1)).toEqual(['model.safetensors.index.json', 'a.safetensors']);
  await expect(modelFiles(index('../a.safetensors'))).rejects.toMatchObject({ code: 'bad-path' });
  await expect(modelFiles(memoryStore({ 'config.json': config }))).rejects.toMatchObject({
    code: 'missing-file',
  });
});
