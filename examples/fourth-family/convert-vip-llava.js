/**
 * Convert a model of a family that the packages do not have. The family is in `vip-llava.js`.
 *
 *   node examples/fourth-family/convert-vip-llava.js
 *
 * It prints, in 4 seconds:
 *
 *   vip-llava: 224 tensors, tokens 250,587,58,250
 *   whole: 256 -> 256 bytes a token, tokens 250,587,58,250, logits within 0.000010
 *   quarter: 256 -> 64 bytes a token, tokens 203,250,587,250, logits within 0.70
 *
 * The checkpoint is made here, of random weights under the names and shapes of llava-hf/vip-llava-7b-hf,
 * with the tokenizer of models/llava: what it says means nothing, but a conversion that keeps
 * everything must not change it. To convert a published one, put its folder in the place of `store`,
 * and `folderOutput` of mha2mla/node in that of `memoryOutput`.
 */
import { memoryStore, parseModelConfig, writeSafetensors } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { loadDecoder } from '@mha2mla/mla-runtime';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { calibrationBatches, convertModel, memoryOutput } from 'mha2mla';
import { loadQuestions, useBackend } from 'mha2mla/node';
import { vipLlava } from './vip-llava.js';

await useBackend('wasm');

// 1. A checkpoint in memory: whatever the loaders ask for is drawn, and kept under its published name.
const tokenizer = await nodeStore('models/llava');
const config = {
  model_type: 'vipllava',
  image_token_index: 639,
  projector_layernorm_eps: 1e-5,
  vision_feature_layers: [-2, -5, -8, -11, 6],
  text_config: {
    ...{ model_type: 'llama', vocab_size: 640, hidden_size: 96, intermediate_size: 128 },
    ...{ num_hidden_layers: 2, num_attention_heads: 6, num_key_value_heads: 2, head_dim: 16 },
    ...{ rms_norm_eps: 1e-5, rope_theta: 10_000, max_position_embeddings: 2048 },
    ...{ bos_token_id: 636, eos_token_id: 637, pad_token_id: 638 },
  },
  vision_config: {
    ...{ model_type: 'clip_vision_model', hidden_size: 32, intermediate_size: 64 },
    ...{ num_hidden_layers: 12, num_attention_heads: 2, image_size: 84, patch_size: 14 },
  },
};

const tensors = new Map();
const draw = {
  // Linear maps have a bias where a checkpoint has one: in the tower and the projector.
  shape: (name) => (/^(vision_tower|multi_modal).*\.bias$/.test(name) ? [] : undefined),
  async read(name, shape) {
    const deviation = shape.length > 1 ? (shape[0] / shape.reduce((a, b) => a * b)) ** 0.5 : 0.1;
    const mean = /norm.*\.weight$/.test(name) ? 1 : 0;
    const values = tf.randomNormal(shape, mean, deviation, 'float32', tensors.size + 1);
    tensors.set(vipLlava.storedNames(name)[0], { shape, data: await values.data() });
    return values.data();
  },
};
const parsed = vipLlava.parseConfig(parseModelConfig(config));
(await vipLlava.loadVision(parsed, draw)).dispose();
(await loadDecoder(parsed.decoder, draw)).dispose();

const pieces = [];
await writeSafetensors(
  { write: async (bytes) => void pieces.push(bytes.slice()) },
  [...tensors].map(([name, { shape }]) => ({ name, shape, dtype: 'F32' })),
  ({ name }) => tensors.get(name).data,
);
const made = memoryStore({
  'config.json': JSON.stringify(config),
  'model.safetensors': new Uint8Array(await new Blob(pieces).arrayBuffer()),
});
const store = {
  ...tokenizer,
  open: async (path) => (await made.open(path)) ?? tokenizer.open(path),
};

// 2. Everything works on it as on a family of the packages.
const original = await openVlm(store, { families: [vipLlava] });
const processor = await vipLlava.loadProcessor(original.config, store);
const questions = await loadQuestions('models/scenes/calibration.jsonl', 16);
const [{ messages, loadMedia }] = questions;
const inputs = processor.process([{ messages, ...(await loadMedia()) }]);

/** What the model gives for the token behind the question, and its next tokens. */
async function ask(source) {
  const model = await VisionLanguageModel.load(source);
  const steps = [];
  for await (const step of model.generate(inputs, { maxTokens: 4, eosTokenIds: [] })) {
    steps.push({ token: step.tokens[0], logits: Float32Array.from(step.logits) });
  }
  model.dispose();
  return { tokens: steps.map(({ token }) => token), logits: steps[0].logits };
}
const before = await ask(original);
console.log(`${original.family.name}: ${tensors.size} tensors, tokens ${before.tokens}`);

// 3. Convert: once with nothing left out, once to a quarter of the cache.
for (const [name, widths] of [
  ['whole', { ropeDim: 16, rank: 16 }],
  ['quarter', { ropeDim: 4, rank: 4 }],
]) {
  const output = memoryOutput();
  const calibration = await calibrationBatches(processor, questions);
  const { cacheBytesPerToken } = await convertModel(original, output, { ...widths, calibration });
  const after = await ask(await openVlm(memoryStore(output.files), { families: [vipLlava] }));
  const change = Math.max(...after.logits.map((logit, i) => Math.abs(logit - before.logits[i])));
  const { original: was, converted } = cacheBytesPerToken;
  console.log(
    `${name}: ${was} -> ${converted} bytes a token, tokens ${after.tokens}, logits within ${Math.max(change, 1e-5).toPrecision(2)}`,
  );
}
await tokenizer.close();
