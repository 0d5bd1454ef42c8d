/**
 * Build a decoder, or one of its layers, from named weights. Names are the decoder's own
 * (`layers.0.self_attn.q_proj.weight`, `embed_tokens.weight`, `norm.weight`, `lm_head.weight`);
 * a family maps them to those of its checkpoints. Weights arrive [out, in] and are kept [in, out].
 *
 * A layer's form is read off the tensors that it has: `k_proj` original, `kv_proj.up_k` partial
 * RoPE, `kv_proj.down_kv` or `kv_proj_img.down_kv` latent.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Attention } from './attention/attention';
import { FullAttention } from './attention/full-attention';
import { headShape } from './attention/head-shape';
import { LatentAttention } from './attention/latent-attention';
import { loadLatentProjections } from './attention/load-latent-projections';
import { Decoder } from './decoder';
import { checkDecoderConfig, type DecoderConfig } from './decoder-config';
import { DecoderLayer } from './decoder-layer';
import { loadProjection } from './load-projection';
import type { Projection } from './projection';
import type { WeightReader } from './weight-reader';

export interface LoadDecoderOptions {
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'load'; loaded: number; total: number }) => void;
}

/** Load the whole decoder. The caller disposes it. */
export async function loadDecoder(
  config: DecoderConfig,
  weights: WeightReader,
  { signal, onProgress }: LoadDecoderOptions = {},
): Promise<Decoder> {
  checkDecoderConfig(config);
  const layers: DecoderLayer[] = [];
  try {
    for (let index = 0; index < config.numHiddenLayers; index++) {
      signal?.throwIfAborted();
      layers.push(await loadDecoderLayer(config, weights, index));
      onProgress?.({ phase: 'load', loaded: index + 1, total: config.numHiddenLayers });
    }
    const embedTokens = await readMatrix(weights, 'embed_tokens.weight', [
      config.vocabSize,
      config.hiddenSize,
    ]);
    const lmHead = await loadProjection(
      weights,
      config.tieWordEmbeddings ? 'embed_tokens' : 'lm_head',
      [config.hiddenSize, config.vocabSize],
    );
    const norm = await readVector(weights, 'norm.weight', config.hiddenSize);
    return new Decoder({ config, embedTokens, layers, norm, lmHead });
  } catch (error) {
    for (const layer of layers) layer.dispose();
    throw error;
  }
}

/** Load one layer. The caller disposes it. */
export async function loadDecoderLayer(
  config: DecoderConfig,
  weights: WeightReader,
  index: number,
): Promise<DecoderLayer> {
  const prefix = `layers.${index}`;
  const { hiddenSize, intermediateSize, rmsNormEps } = config;
  const widths: [number, number] = [hiddenSize, intermediateSize];
  return new DecoderLayer({
    attention: await loadAttention(config, weights, index),
    mlp: new Map([
      ['gate_proj', await loadProjection(weights, `${prefix}.mlp.gate_proj`, widths)],
      ['up_proj', await loadProjection(weights, `${prefix}.mlp.up_proj`, widths)],
      [
        'down_proj',
        await loadProjection(weights, `${prefix}.mlp.down_proj`, [intermediateSize, hiddenSize]),
      ],
    ]),
    inputNorm: await readVector(weights, `${prefix}.input_layernorm.weight`, hiddenSize),
    postAttentionNorm: await readVector(
      weights,
      `${prefix}.post_attention_layernorm.weight`,
      hiddenSize,
    ),
    rmsNormEps,
  });
}

/** Load a layer's attention in the form that its tensors have. */
export async function loadAttention(
  config: DecoderConfig,
  weights: WeightReader,
  index: number,
): Promise<Attention> {
  const prefix = `layers.${index}.self_attn`;
  const shape = headShape(config, index);
  const { hiddenSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const { qkRopeHeadDim, qkNopeHeadDim } = shape;
  const projections = new Map<string, Projection>();
  const load = async (name: string, widths: [number, number]) => {
    projections.set(name, await loadProjection(weights, `${prefix}.${name}`, widths));
  };
  const keyWidth = numKeyValueHeads * headDim;
  await load('q_proj', [hiddenSize, numAttentionHeads * headDim]);
  await load('o_proj', [numAttentionHeads * headDim, hiddenSize]);
  if (!config.mla) {
    await load('k_proj', [hiddenSize, keyWidth]);
    await load('v_proj', [hiddenSize, keyWidth]);
    return new FullAttention(projections, shape);
  }
  await load('k_r_proj', [hiddenSize, numKeyValueHeads * qkRopeHeadDim]);
  const latent = await loadLatentProjections(config, weights, index);
  if (latent) {
    for (const [name, projection] of latent) projections.set(name, projection);
    return new LatentAttention(projections, shape, config.mla.groups);
  }
  if (qkNopeHeadDim > 0) {
    await load('kv_proj.up_k', [hiddenSize, numKeyValueHeads * qkNopeHeadDim]);
  }
  await load('kv_proj.up_v', [hiddenSize, keyWidth]);
  return new FullAttention(projections, shape);
}

async function readMatrix(
  weights: WeightReader,
  name: string,
  shape: [number, number],
): Promise<tf.Tensor2D> {
  return tf.tensor2d(await weights.read(name, shape), shape);
}

async function readVector(
  weights: WeightReader,
  name: string,
  length: number,
): Promise<tf.Tensor1D> {
  return tf.tensor1d(await weights.read(name, [length]));
}
