/** Well-formed models of odd shapes: each answers a prompt with a picture or is refused by name. */
import { parseModelConfig } from '@mha2mla/checkpoint';
import { generate, loadDecoder, type WeightReader } from '@mha2mla/mla-runtime';
import { describeBackends, fuzz, gaussian } from '@mha2mla/testing';
import {
  embedInputs,
  llava,
  type MediaInputs,
  type ModelInputs,
  prepareInputs,
  qwen25Vl,
  type VlmFamily,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const IMAGE = 1;
const one = fc.constantFrom;
const decoders = {
  width: one(3, 8, 16, 33),
  inner: one(1, 2, 5),
  layers: one(1, 2),
  kvHeads: one(1, 2, 3),
  queries: one(1, 2, 3),
  headDim: one(2, 4, 6, 8),
  vocab: one(2, 3, 30),
  tied: fc.boolean(),
  /** Rotary dims, latent width and groups of a converted model. */
  mla: fc.option(fc.tuple(one(0, 2, 4), one(0, 1, 2, 6), one(1, 2)), { freq: 2 }),
};
const llavas = fc.record({
  ...decoders,
  vision: fc.record({
    hidden_size: one(2, 4, 8),
    intermediate_size: one(1, 4),
    num_hidden_layers: one(1, 2),
    num_attention_heads: one(1, 2),
    image_size: one(3, 5, 8),
    patch_size: one(1, 2, 3),
  }),
  layer: one(-2, -1, 0, 1),
  strategy: one('default', 'full'),
});
const qwens = fc.record({
  ...decoders,
  vision: fc.record({
    depth: one(1, 2),
    hidden_size: one(8, 16),
    intermediate_size: one(1, 4),
    num_heads: one(1, 2),
    patch_size: one(1, 2, 3),
    temporal_patch_size: one(1, 2),
    spatial_merge_size: one(1, 2, 3),
    window_size: one(4, 9, 12, 40),
    fullatt_block_indexes: one([], [0], [1]),
  }),
  /** Merged patches in time, height and width. */
  grid: fc.tuple(one(1, 2), one(1, 2, 5), one(1, 3)),
  section: fc.tuple(fc.nat(4), fc.nat(4)),
});
type Llava = typeof llavas extends fc.Arbitrary<infer T> ? T : never;
type Qwen = typeof qwens extends fc.Arbitrary<infer T> ? T : never;
type Shapes = Pick<Llava, keyof typeof decoders>;

/** A case's config, its picture, and how many tokens that takes. */
interface Model {
  raw: object;
  media: MediaInputs;
  features: number;
}

function textKeys(shape: Shapes) {
  return {
    hidden_size: shape.width,
    intermediate_size: shape.inner,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.kvHeads * shape.queries,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    vocab_size: shape.vocab,
    tie_word_embeddings: shape.tied,
  };
}

function conversion({ mla }: Shapes) {
  const [ropeDim, , groups] = mla ?? [];
  const mha2mla = { partial_rope_version: 'high', rope_dim_for_mla: ropeDim, groups };
  return mla ? { mha2mla } : {};
}

function llavaOf(shape: Llava): Model {
  const { image_size: size, patch_size: patch } = shape.vision;
  return {
    raw: {
      model_type: 'llava',
      image_token_index: IMAGE,
      vision_feature_layer: shape.layer,
      vision_feature_select_strategy: shape.strategy,
      vision_config: shape.vision,
      text_config: { model_type: 'llama', ...textKeys(shape) },
      ...conversion(shape),
    },
    media: { pixelValues: { data: gaussian(3 * size * size, 2), shape: [1, 3, size, size] } },
    features: Math.floor(size / patch) ** 2 + (shape.strategy === 'full' ? 1 : 0),
  };
}

function qwenOf(shape: Qwen): Model {
  const { vision, grid, section } = shape;
  const [height, width] = [
    grid[1] * vision.spatial_merge_size,
    grid[2] * vision.spatial_merge_size,
  ];
  const patches = grid[0] * height * width;
  const values = 3 * vision.temporal_patch_size * vision.patch_size ** 2;
  const pairs = shape.headDim / 2;
  const t = section[0] % (pairs + 1);
  const h = section[1] % (pairs - t + 1);
  return {
    raw: {
      model_type: 'qwen2_5_vl',
      image_token_id: IMAGE,
      ...textKeys(shape),
      rope_scaling: { type: 'mrope', mrope_section: [t, h, pairs - t - h] },
      vision_config: { ...vision, out_hidden_size: shape.width },
      ...conversion(shape),
    },
    media: {
      pixelValues: { data: gaussian(patches * values, 2), shape: [patches, values] },
      imageGridThw: Int32Array.of(grid[0], height, width),
    },
    features: grid[0] * grid[1] * grid[2],
  };
}

/** Weights of every shape that is asked for, and latents of the width that the case has. */
function weightsOf({ width, mla }: Shapes): WeightReader {
  return {
    shape: (name) =>
      /kv_proj_\w+\.down_kv\.weight$/.test(name) && mla ? [mla[1], width] : undefined,
    read: async (_, shape) => {
      const size = shape.reduce((product, length) => product * length, 1);
      return gaussian(size, 1);
    },
  };
}

async function answer(family: VlmFamily, shape: Shapes, model: Model): Promise<void> {
  const { raw, media, features } = model;
  const config = family.parseConfig(parseModelConfig({ ...raw }));
  const weights = weightsOf(shape);
  const length = features + 2;
  const inputIds = new Int32Array(length).fill(IMAGE);
  inputIds[0] = 0;
  inputIds[length - 1] = 0;
  const attentionMask = new Int32Array(length).fill(1);
  const inputs: ModelInputs = { batch: 1, length, inputIds, attentionMask, ...media };
  const vision = await family.loadVision(config, weights);
  try {
    const decoder = await loadDecoder(config.decoder, weights);
    try {
      const inputsEmbeds = embedInputs(config, (ids, of) => decoder.embed(ids, of), vision, inputs);
      try {
        const prompt = { inputsEmbeds, ...prepareInputs(family, config, inputs) };
        for await (const { tokens, logits } of generate(decoder, prompt, { maxTokens: 3 })) {
          expect(tokens[0]).toBeLessThan(shape.vocab);
          expect(logits.every(Number.isFinite)).toBe(true);
        }
      } finally {
        inputsEmbeds.dispose();
      }
    } finally {
      decoder.dispose();
    }
  } finally {
    vision.dispose();
  }
}

describeBackends('models of odd shapes answer, with finite logits, or are refused', () => {
  const withoutLeak = (run: () => Promise<void>) => async () => {
    const before = tf.memory().numTensors;
    try {
      await run();
    } finally {
      expect(tf.memory().numTensors - before).toBe(0);
    }
  };
  const options = { runs: 120, maxBytes: 2 ** 24 };

  test('LLaVA', () =>
    fuzz(llavas, options, (shape) => ({
      size: 0,
      read: withoutLeak(() => answer(llava, shape, llavaOf(shape))),
    })));

  test('Qwen2.5-VL', () =>
    fuzz(qwens, options, (shape) => ({
      size: 0,
      read: withoutLeak(() => answer(qwen25Vl, shape, qwenOf(shape))),
    })));
});
