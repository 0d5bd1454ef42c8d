/** A LLaVA with fewer KV heads than query heads, as published with newer decoders. */
import { parseModelConfig } from '@mha2mla/checkpoint';
import { loadDecoder, prefillStep, type WeightReader } from '@mha2mla/mla-runtime';
import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import type { ModelInputs } from '../model-inputs';
import { openVlm } from '../open-vlm';
import { prepareInputs } from '../prepare-inputs';
import { type StoredTensor, tensorStore } from '../testing/tensor-store';
import { VisionLanguageModel } from '../vision-language-model';
import { llava } from './llava-family';

const IMAGE = 19;
const [D, K, H, R, C] = [32, 2, 8, 4, 12]; // width, KV heads, head dim, rope dims, latent width
const original = {
  model_type: 'llava',
  image_token_index: IMAGE,
  text_config: {
    model_type: 'llama',
    hidden_size: D,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: K,
    head_dim: H,
    vocab_size: 20,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
  },
  vision_config: {
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    image_size: 28,
    patch_size: 14,
  },
};
const mha2mla = { partial_rope_version: 'high', rope_dim_for_mla: R };
const latent = (groups: number): Record<string, number[]> => ({
  down_kv: [C, D],
  up_k: [K * (H - R), C / groups],
  up_v: [K * H, C / groups],
});

/** Random weights of every tensor that the loaders ask for, in a checkpoint of published names. */
async function randomCheckpoint(raw: object, groups?: number) {
  const tensors = new Map<string, StoredTensor>();
  const random: WeightReader = {
    shape(name) {
      if (/^(vision_tower|multi_modal_projector)\..*\.bias$/.test(name)) return [0]; // there is one
      const [, part] = /\.kv_proj_(?:img|text)\.(\w+)\.weight$/.exec(name) ?? [];
      return part && groups ? latent(groups)[part] : undefined;
    },
    async read(name, shape) {
      const size = shape.reduce((product, length) => product * length, 1);
      const [rows = 1] = shape;
      const noise = gaussian(size, tensors.size);
      // Matrices that keep the size of what they map; norms about one.
      const data = noise.map((x) => (shape.length > 1 ? x / Math.sqrt(size / rows) : 1 + x / 4));
      tensors.set(llava.storedNames(name)[0]!, { shape, data });
      return data;
    },
  };
  const config = llava.parseConfig(parseModelConfig({ ...raw }));
  (await llava.loadVision(config, random)).dispose();
  (await loadDecoder(config.decoder, random)).dispose();
  return tensorStore(raw, tensors);
}

/** A picture and text, and a shorter row of text. */
const inputs: ModelInputs = {
  batch: 2,
  length: 10,
  inputIds: Int32Array.from([1, 19, 19, 19, 19, 2, 3, 4, 5, 6, 0, 0, 0, 1, 7, 8, 9, 10, 11, 12]),
  attentionMask: Int32Array.from({ length: 20 }, (_, i) => (i < 10 || i >= 13 ? 1 : 0)),
  pixelValues: { data: gaussian(3 * 28 * 28, 7), shape: [1, 3, 28, 28] },
};

/** The first `length` columns of the batch; the picture lies within. */
function columns(length: number): ModelInputs {
  const first = (values: Int32Array) => values.filter((_, i) => i % 10 < length);
  const { inputIds, attentionMask } = inputs;
  return {
    ...inputs,
    length,
    inputIds: first(inputIds),
    attentionMask: first(attentionMask),
  };
}

/** Logits of the last column, [2 * 20], of a prefill, or after decoding the last three columns. */
async function lastLogits(model: VisionLanguageModel, decoded: number): Promise<Float32Array> {
  const { decoder } = model;
  const prompt = columns(10 - decoded);
  const { layout, positionIds, nextPositions } = prepareInputs(model.family, model.config, prompt);
  const step = prefillStep(layout, positionIds, decoder.config);
  const embedded = model.embed(prompt);
  const cache = decoder.createCache(2);
  const hidden = await decoder.prefill(embedded, step, { cache });
  let logits: tf.Tensor = tf.tidy(() =>
    decoder.logits(tf.slice(hidden, [0, prompt.length - 1, 0], [2, 1, D])),
  );
  for (let t = 0; t < decoded; t++) {
    logits.dispose();
    const column = 10 - decoded + t;
    const ids = Int32Array.of(inputs.inputIds[column]!, inputs.inputIds[10 + column]!);
    logits = decoder.decode(
      ids,
      nextPositions.map((position) => position + t),
      cache,
    );
  }
  const values = (await logits.data()) as Float32Array;
  tf.dispose([embedded, hidden, logits]);
  step.dispose();
  cache.dispose();
  return values;
}

describeBackends('LLaVA with grouped queries', () => {
  test.each([
    ['original', original, undefined],
    ['latent', { ...original, mha2mla }, 1],
    ['latent in two groups', { ...original, mha2mla: { ...mha2mla, groups: 2 } }, 2],
  ] as const)('%s: decoding over the cache equals a prefill', async (_, raw, groups) => {
    const store = await randomCheckpoint(raw, groups);
    const model = await VisionLanguageModel.load(await openVlm(store, { families: [llava] }));
    expect(model.config.decoder.numKeyValueHeads).toBe(K);
    const naive = await lastLogits(model, 0);
    const absorbed = await lastLogits(model, 3);
    model.dispose();
    expect(Math.max(...naive.map(Math.abs))).toBeGreaterThan(0.5); // nothing has died out
    expectClose(absorbed, naive, { abs: 1e-5 }); // float32 sums in another order
  });
});
