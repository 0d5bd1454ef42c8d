/** The attention of `@mha2mla/mla-runtime`: the original form, or a latent a modality cut into groups. */
import {
  DecoderCache,
  decodeStep,
  loadDecoderLayer,
  prefillStep,
  TEXT,
  textLayout,
  VISION,
} from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { noise, pieceNoise, SEEDS, weightNoise } from './noise.js';
import { PIECE } from './shapes.js';

/** Share of picture tokens in a context. */
const VISION_SHARE = 0.75;

/** @param groups of latents; 0 for the original form. */
export async function openRuntimeArm(shape, groups) {
  const config = configOf(shape, groups);
  const layer = await loadDecoderLayer(config, readerOf(shape, config), 0);
  const { attention } = layer;
  const bare = standIns(attention);
  const cache = cacheFor(attention);
  const x = tf.tensor2d(noise(shape.hiddenSize, SEEDS.input), [1, shape.hiddenSize]);
  let filled = 0;
  return {
    fill(context) {
      for (; filled < context; filled += PIECE) appendPiece(cache, config, shape, filled / PIECE);
    },
    rewind: () => cache.rewind([filled]),
    decode() {
      const step = decodeStep(cache, Int32Array.of(cache.lengths[0]), config);
      const output = attention.decode(x, step, cache.layers[0]);
      step.dispose();
      return output;
    },
    /** Decode without the projections: absorption, scores, softmax, weighted sum. */
    core() {
      bare.use(true);
      const output = this.decode();
      bare.use(false);
      return { data: () => output.data() }; // the stand-in's, which is used again
    },
    prefill: (length) => prefill(attention, config, shape, length),
  };
}

function cacheFor({ segments, inOnePass }) {
  const use = { keepsAngles: false, inOnePass: () => inOnePass };
  return DecoderCache.create(1, 1, segments, {}, use);
}

function configOf({ hiddenSize, ropeTheta, rope, ...heads }, groups) {
  const { numAttentionHeads, numKeyValueHeads, headDim } = heads;
  // Every so many pairs, as `--strategy uniform` keeps them.
  const stride = headDim / rope;
  const pairs = Int32Array.from({ length: rope / 2 }, (_, i) => i * stride);
  const ropePairs = [new Array(numKeyValueHeads).fill(pairs)];
  return {
    ...{ hiddenSize, intermediateSize: 1, numHiddenLayers: 1, vocabSize: 1, rmsNormEps: 1e-5 },
    ...{ numAttentionHeads, numKeyValueHeads, headDim, ropeTheta, tieWordEmbeddings: true },
    mla: groups > 0 ? { ropePairs, groups } : undefined,
  };
}

/** Weights by the names of a layer, and by no other. */
function readerOf({ bias, rank, numKeyValueHeads, hiddenSize }, { mla }) {
  const latent = rank * numKeyValueHeads;
  const hasBias = /self_attn\.(q|k|v|k_r)_proj\.bias$/;
  return {
    shape: (name) => {
      if (name.endsWith('.bias')) return bias && hasBias.test(name) ? [] : undefined;
      return mla && /kv_proj_(img|text)\.down_kv/.test(name) ? [latent, hiddenSize] : undefined;
    },
    read: async (name, expected) => {
      const own = /self_attn\.([a-z_]+)\.weight$/.exec(name)?.[1];
      if (own in SEEDS) return weightNoise(own, expected);
      const length = tf.util.sizeFromShape(expected);
      // Of biases nothing is asked but their time.
      return name.endsWith('.bias') ? new Float32Array(length) : noise(length, length, 0.02);
    },
  };
}

/** Projections that can be told to return what they have at hand. */
function standIns(attention) {
  let bare = false;
  for (const [name, projection] of attention.projections) {
    if (/\.up_[kv]$/.test(name)) continue; // part of attending to latents
    const { outFeatures } = projection;
    const kept = tf.tensor2d(noise(outFeatures, 7), [1, outFeatures]);
    attention.projections.set(name, {
      ...projection,
      apply: (x) => (bare ? kept : projection.apply(x)),
    });
  }
  const use = (value) => {
    bare = value;
  };
  return { use };
}

function appendPiece(cache, config, shape, piece) {
  const vision = config.mla ? PIECE * VISION_SHARE : 0;
  const kinds = Uint8Array.from({ length: PIECE }, (_, i) => (i < vision ? VISION : TEXT));
  const positions = Int32Array.from({ length: PIECE }, (_, i) => piece * PIECE + i);
  cache.reserve({ batch: 1, length: PIECE, kinds }, positions);
  const append = (segment, name, dims, values) => {
    const x = tf.tensor4d(values, dims);
    cache.layers[0].part(segment, name).append(x);
    x.dispose();
  };
  const { numKeyValueHeads: heads, headDim, rank, rope } = shape;
  if (!config.mla) {
    for (const name of ['key', 'value']) {
      append('all', name, [1, heads, PIECE, headDim], pieceNoise(name, piece, PIECE, shape));
    }
    return;
  }
  const { groups } = config.mla;
  for (const [segment, tokens] of [
    ['vision', vision],
    ['text', PIECE - vision],
  ]) {
    const width = (heads * rank) / groups;
    append(segment, 'kvLatent', [1, groups, tokens, width], noise(tokens * heads * rank, piece));
    append(segment, 'kPe', [1, heads, tokens, rope], noise(tokens * heads * rope, piece));
  }
}

/** A prompt of text (of pictures each map runs once too), into a cache of its own. */
function prefill(attention, config, { hiddenSize }, length) {
  const layout = textLayout(1, length);
  const step = prefillStep(
    layout,
    Int32Array.from({ length }, (_, i) => i),
    config,
  );
  const cache = cacheFor(attention);
  try {
    return tf.tidy(() => {
      const x = tf.tensor3d(noise(length * hiddenSize, SEEDS.input), [1, length, hiddenSize]);
      const output = attention.prefill(x, step, { cache: cache.layers[0] });
      return tf.slice(output, [0, length - 1, 0], [1, 1, hiddenSize]);
    });
  } finally {
    step.dispose();
    cache.dispose();
  }
}
