/** Attention of the published models, by their configs; `rank` latent and `rope` rotary dims a KV head. */
export const SHAPES = {
  'llava-1.5-7b': {
    ...{ hiddenSize: 4096, numAttentionHeads: 32, numKeyValueHeads: 32, headDim: 128 },
    ...{ ropeTheta: 1e4, bias: false, rank: 64, rope: 32 },
  },
  'llava-next-mistral-7b': {
    ...{ hiddenSize: 4096, numAttentionHeads: 32, numKeyValueHeads: 8, headDim: 128 },
    ...{ ropeTheta: 1e6, bias: false, rank: 64, rope: 32 },
  },
  'llava-next-llama3-8b': {
    ...{ hiddenSize: 4096, numAttentionHeads: 32, numKeyValueHeads: 8, headDim: 128 },
    ...{ ropeTheta: 5e5, bias: false, rank: 64, rope: 32 },
  },
  'qwen2.5-vl-7b': {
    ...{ hiddenSize: 3584, numAttentionHeads: 28, numKeyValueHeads: 4, headDim: 128 },
    ...{ ropeTheta: 1e6, bias: true, rank: 64, rope: 32 },
  },
};

/** Tokens that a cache is filled with at a time, and what a context is a multiple of. */
export const PIECE = 256;

/** Floats of the original cache to those of a converted one. */
export function byteRatio({ headDim, rank, rope }) {
  return (2 * headDim) / (rank + rope);
}
