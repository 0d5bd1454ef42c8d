/** Well-formed models of odd shapes: each answers a prompt with a picture or is refused by name. */
import { parseModelConfig } from '@mha2mla/checkpoint';
import { generate, loadDecoder, type WeightReader } from '@mha2mla/mla-runtime';
import { describeBackends, fuzz, gaussian } from '@mha2mla/testing';
import { embedInputs, llava, type ModelInputs, prepareInputs } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const one = fc.constantFrom;
const shapes = fc.record({
  width: one(3, 8, 16, 33),
  inner: one(1, 2, 5),
  layers: one(1, 2),
  kvHeads: one(1, 2, 3),
  queries: one(1, 2, 3),
  headDim: one(2, 4, 6, 8),
  vocab: one(2, 3, 30),
  tied: fc.boolean(),
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
  /** Rotary dims, latent width and groups of a converted model. */
  mla: fc.option(fc.tuple(one(0, 2, 4), one(0, 1, 2, 6), one(1, 2)), { freq: 2 }),
});
type Shapes = typeof shapes extends fc.Arbitrary<infer T> ? T : never;

const IMAGE = 1;

function configOf(shape: Shapes) {
  const [ropeDim, , groups] = shape.mla ?? [];
  return {
    model_type: 'llava',
    image_token_index: IMAGE,
    vision_feature_layer: shape.layer,
    vision_feature_select_strategy: shape.strategy,
    vision_config: shape.vision,
    text_config: {
      model_type: 'llama',
      hidden_size: shape.width,
      intermediate_size: shape.inner,
      num_hidden_layers: shape.layers,
      num_attention_heads: shape.kvHeads * shape.queries,
      num_key_value_heads: shape.kvHeads,
      head_dim: shape.headDim,
      vocab_size: shape.vocab,
      tie_word_embeddings: shape.tied,
    },
    ...(shape.mla && {
      mha2mla: { partial_rope_version: 'high', rope_dim_for_mla: ropeDim, groups },
    }),
  };
}

/** Weights of every shape that is asked for, and latents of the width that the case has. */
function weightsOf({ width, mla }: Shapes): WeightReader {
  return {
    shape: (name) =>
      /kv_proj_\w+\.down_kv\.weight$/.test(name) && mla ? [mla[1], width] : undefined,
    read: async (_, shape) =>
      gaussian(
        shape.reduce((product, size) => product * size, 1),
        1,
      ),
  };
}

async function answer(shape: Shapes): Promise<void> {
  const config = llava.parseConfig(parseModelConfig(configOf(shape)));
  const weights = weightsOf(shape);
  const { image_size: size, patch_size: patch } = shape.vision;
  const features = Math.floor(size / patch) ** 2 + (shape.strategy === 'full' ? 1 : 0);
  const inputIds = new Int32Array(features + 2).fill(IMAGE);
  inputIds[0] = 0;
  inputIds[features + 1] = 0;
  const inputs: ModelInputs = {
    batch: 1,
    length: features + 2,
    inputIds,
    attentionMask: new Int32Array(features + 2).fill(1),
    pixelValues: { data: gaussian(3 * size * size, 2), shape: [1, 3, size, size] },
  };
  const vision = await llava.loadVision(config, weights);
  try {
    const decoder = await loadDecoder(config.decoder, weights);
    try {
      const inputsEmbeds = embedInputs(config, (ids, of) => decoder.embed(ids, of), vision, inputs);
      try {
        const prompt = { inputsEmbeds, ...prepareInputs(llava, config, inputs) };
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

describeBackends('models of odd shapes', () => {
  test('answer, with finite logits, or are refused', async () => {
    await fuzz(shapes, { runs: 120, maxBytes: 2 ** 24 }, (shape) => ({
      size: 0,
      read: async () => {
        const before = tf.memory().numTensors;
        try {
          await answer(shape);
        } finally {
          expect(tf.memory().numTensors - before).toBe(0);
        }
      },
    }));
  });
});
