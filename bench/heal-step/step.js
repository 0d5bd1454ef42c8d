/** Optimiser steps of LoRA in this repository: prints the best time of a step and the first loss. */
import { AdamW, clipByGlobalNorm, crossEntropy, valueAndGrads } from '@mha2mla/peft';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { embedReferences, ModelAdapters } from 'mha2mla';
import { useBackend } from 'mha2mla/node';
import { preparedBatch } from './batch.js';

const [model, backend] = process.argv.slice(2);
const STEPS = 8;
await useBackend(backend);
const { source, packed } = await preparedBatch(model);
const vlm = await VisionLanguageModel.load(source);
const adapters = new ModelAdapters(vlm);
const modules = [...adapters.modules.keys()].filter(
  (name) =>
    name.includes('layers.') && /self_attn\.[qkvo]_proj$/.test(name) && !name.startsWith('vision'),
);
const lora = { r: 16, loraAlpha: 16 };
const config = {
  ...lora,
  useRslora: false,
  useDora: false,
  loraDropout: 0,
  targetModules: modules,
  rankPattern: new Map(),
  alphaPattern: new Map(),
};
adapters.add('default', config, new Map(modules.map((name) => [name, lora])));
adapters.setAdapter('default');
const parameters = adapters.parameters('default');
const optimizer = new AdamW(parameters, { weightDecay: 0.01 });
const predicting = tf.tensor1d(packed.predicting, 'int32');
const labels = tf.tensor1d(packed.labels, 'int32');
const times = [];
let loss;
for (let step = 0; step < STEPS; step++) {
  const began = performance.now();
  const { inputsEmbeds, step: prefill, dispose } = embedReferences(vlm, packed);
  const lossFn = () =>
    tf.tidy(() => {
      const hidden = vlm.decoder.prefillSync(inputsEmbeds, prefill).at(-1);
      const rows = tf.gather(tf.reshape(hidden, [-1, hidden.shape[2]]), predicting);
      return crossEntropy(vlm.decoder.logits(rows), labels);
    });
  const { value, grads } = valueAndGrads(lossFn, parameters);
  const clipped = clipByGlobalNorm(grads, 1);
  optimizer.step(clipped.grads, 1e-3);
  const [found] = await value.data();
  await parameters.at(-1).variable.data();
  loss ??= found;
  tf.dispose([value, grads, clipped]);
  dispose();
  times.push(performance.now() - began);
}
console.log(JSON.stringify({ milliseconds: Math.min(...times), loss }));
process.exit();
