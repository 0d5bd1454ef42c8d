import { encodeRankFile, memorySource, parseModelConfig } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { withRankPairs } from './rank-pairs';

const block = {
  partial_rope_version: 'mkl',
  qk_tensor_path: '../mkl/llava-ranks.pth',
  rope_dim_for_mla: 4,
};
const configOf = (mha2mla: object) =>
  parseModelConfig({
    model_type: 'llava',
    mha2mla,
    text_config: {
      hidden_size: 16,
      num_attention_heads: 2,
      num_hidden_layers: 1,
      intermediate_size: 8,
      vocab_size: 9,
    },
  });

test('the pairs are those that the ranks put first', async () => {
  const ranks = Uint8Array.of(3, 0, 2, 1, 3, 0, 2, 1, 0, 1, 2, 3, 0, 1, 2, 3);
  const file = memorySource(encodeRankFile({ ranks, shape: [1, 2, 8] }));
  const { mha2mla } = await withRankPairs(configOf(block), file);
  expect(mha2mla!.rope_pairs).toEqual([
    [
      [1, 3],
      [0, 1],
    ],
  ]);
  const other = memorySource(encodeRankFile({ ranks, shape: [2, 1, 8] }), 'r.pth');
  await expect(withRankPairs(configOf(block), other)).rejects.toThrow(
    'r.pth must hold ranks [1,2,8] by config.json, got [2,1,8]',
  );
  const half = memorySource(encodeRankFile({ ranks: ranks.map((r) => r % 2), shape: [1, 2, 8] }));
  await expect(withRankPairs(configOf(block), half)).rejects.toThrow(/Ranks must be a permutation/);
});
