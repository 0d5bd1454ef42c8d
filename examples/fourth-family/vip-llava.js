/**
 * A family that the packages do not have, from outside of them: VipLLaVA (arXiv 2312.00784), a LLaVA-1.5
 * whose projector reads several layers of the vision tower, side by side and normalised. It takes what
 * the packages export, and is handed to `openVlm(store, { families: [vipLlava] })`; nothing is
 * registered. `convert-vip-llava.js` runs it.
 */
import { configIntegers, configNumber } from '@mha2mla/checkpoint';
import { loadProjection } from '@mha2mla/mla-runtime';
import { ClipVisionTower, llava, parseClipConfig } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';

const NORM = 'multi_modal_projector.projector_layernorm';
const LINEAR = ['multi_modal_projector.linear_1', 'multi_modal_projector.linear_2'];

/** LLaVA-1.5, but for the projector: config, tokenizer, template, pictures and names of weights are its. */
export const vipLlava = {
  ...llava,
  name: 'vip-llava',
  modelTypes: ['vipllava'], // of config.json
  visionTensors: (config) => [
    ...llava.visionTensors(config),
    ...['weight', 'bias'].map((part) => `${NORM}.${part}`),
  ],
  async loadVision({ decoder, source }, weights) {
    const clip = parseClipConfig(source);
    const layers = featureLayers(source.raw, clip.numHiddenLayers);
    const epsilon = configNumber(source.raw, 'projector_layernorm_eps', {
      ...{ min: 1e-12, max: 0.1, default: 1e-5 },
    });
    const width = layers.length * clip.hiddenSize;
    const tower = await ClipVisionTower.load(clip, weights, 'vision_tower');
    const [scale, shift] = await Promise.all(
      ['weight', 'bias'].map(async (part) =>
        tf.tensor1d(await weights.read(`${NORM}.${part}`, [width])),
      ),
    );
    const [first, second] = await Promise.all(
      LINEAR.map((name, i) =>
        loadProjection(weights, name, [i === 0 ? width : decoder.hiddenSize, decoder.hiddenSize]),
      ),
    );
    return {
      /** pixelValues [pictures, 3, S, S] to features [pictures * patches, D]. */
      encode: ({ pixelValues: { data, shape } }) =>
        tf.tidy(() => {
          // Hidden state 0 is the embedding, i the output of layer i - 1; the class token is first.
          const states = new Map();
          tower.encode(data, shape[0], (name, x) => {
            const state = name === 'pre_layrnorm' ? 0 : 1 + Number(name.slice('layer.'.length));
            if (layers.includes(state)) states.set(state, tf.keep(tf.slice(x, [0, 1, 0])));
          });
          const seen = tf.concat(
            layers.map((state) => states.get(state)),
            2,
          ); // [pictures, patches, W]
          tf.dispose([...states.values()]);
          const { mean, variance } = tf.moments(seen, 2, true);
          const normed = tf.div(tf.sub(seen, mean), tf.sqrt(tf.add(variance, epsilon)));
          const inner = gelu(first.apply(tf.add(tf.mul(normed, scale), shift)));
          return { images: tf.reshape(second.apply(inner), [-1, decoder.hiddenSize]) };
        }),
      dispose() {
        for (const part of [tower, scale, shift, first, second]) part.dispose();
      },
    };
  },
};

/** `vision_feature_layers` as hidden states from 0 on; a negative one counts from the last. */
function featureLayers(raw, count) {
  const range = { min: -count - 1, max: count, length: count + 1 };
  const layers = configIntegers(raw, 'vision_feature_layers', range);
  return layers.map((layer) => (layer < 0 ? count + 1 + layer : layer));
}

const gelu = (x) => tf.mul(tf.mul(x, 0.5), tf.add(1, tf.erf(tf.div(x, Math.SQRT2))));
