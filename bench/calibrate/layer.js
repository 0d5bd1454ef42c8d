/** One backend's turn of run.js: `node layer.js BACKEND` prints seconds as JSON. */
import { SecondMoment } from '@mha2mla/lowrank';
import { loadDecoderLayer, prefillStep, TEXT, VISION } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from 'mha2mla/node';

/** LLaVA-NeXT's language model; a picture of 576 tokens and a question of 64. */
const CONFIG = {
  hiddenSize: 4096,
  intermediateSize: 14336,
  numHiddenLayers: 1,
  numAttentionHeads: 32,
  numKeyValueHeads: 8,
  headDim: 128,
  rmsNormEps: 1e-5,
  vocabSize: 2,
  ropeTheta: 5e5,
  tieWordEmbeddings: false,
};
const KINDS = Array.from({ length: 640 }, (_, i) => (i < 576 ? VISION : TEXT));

await useBackend(process.argv[2]);
const layer = await loadDecoderLayer(CONFIG, randomWeights(), 0);
const step = prefillStep(
  { batch: 1, length: KINDS.length, kinds: Uint8Array.from(KINDS) },
  Int32Array.from(KINDS.keys()),
  CONFIG,
);
const x = tf.tensor3d(noise(KINDS.length * 4096, 1), [1, KINDS.length, 4096]);
const moments = [VISION, TEXT].map((kind) => ({ kind, moment: new SecondMoment(4096) }));

await calibrate(); // wasm packs weights, TensorFlow starts its threads
const before = process.cpuUsage();
const seconds = await calibrate();
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ ...seconds, cpu: (user + system) / 1e6 }));

async function calibrate() {
  const start = performance.now();
  let input;
  const output = layer.prefill(x, step, {
    observe: (seen) => {
      input = tf.keep(tf.clone(seen.input));
    },
  });
  await output.data();
  const middle = performance.now();
  const flat = tf.reshape(input, [-1, 4096]);
  for (const { kind, moment } of moments) {
    await moment.add(
      flat,
      Uint8Array.from(KINDS, (own) => Number(own === kind)),
    );
  }
  tf.dispose([input, flat, output]);
  return { forward: (middle - start) / 1000, moments: (performance.now() - middle) / 1000 };
}

function randomWeights() {
  return {
    shape: (name) => (name.endsWith('bias') ? undefined : []),
    read: async (_name, expected) => noise(tf.util.sizeFromShape(expected), 0.02),
  };
}

/** Values of a small generator: what a product costs does not depend on them. */
function noise(length, size) {
  const values = new Float32Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = (state / 2 ** 31) * size;
  }
  return values;
}
