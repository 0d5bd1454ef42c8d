/**
 * Build a decoder, or one of its layers, from named weights. Names are the decoder's own
 * (`layers.0.self_attn.q_proj.weight`, `embed_tokens.weight`, `norm.weight`, `lm_head.weight`);
 * a family maps them to those of its checkpoints. Weights arrive [out, in] and are kept [in, out].
 *
 * A layer's form is read off the tensors that it has: `k_proj` original, `kv_proj.up_k` partial
 * RoPE, `kv_proj.down_kv` or `kv_proj_img.down_kv` latent.
 */
import * as tf from '@tensorflow/tfjs-core';
import { allOrNothing } from './all-or-nothing';
import type { Attention } from './attention/attention';
import { FullAttention } from './attention/full-attention';
import { headShape } from './attention/head-shape';
import { LatentAttention } from './attention/latent-attention';
import { loadLatentProjections } from './attention/load-latent-projections';
import { Decoder } from './decoder';
import { checkDecoderConfig, type DecoderConfig } from './decoder-config';
import { DecoderLayer } from './decoder-layer';
import { denseProjection } from './dense-projection';
import { loadProjection } from './load-projection';
import { type LoadWeightsOptions, loadingReader } from './loading-reader';
import { type EmbeddingTable, isTensor } from './lookup-embeddings';
import { loadMatrix } from './packed/load-matrix';
import { packedProjection } from './packed/packed-projection';
import type { Projection } from './projection';
import type { WeightReader } from './weight-reader';
import { yieldToEventLoop } from './yield-to-event-loop';

/** Options of `loadDecoder`. */
export interface LoadDecoderOptions extends LoadWeightsOptions {
  /** Called after each weight. */
  onProgress?: (progress: { phase: 'load'; loaded: number; total: number }) => void;
}

/**
 * Load the whole decoder. The caller disposes it.
 * @throws the signal's reason when aborted, between two reads; RangeError for a bad config or format.
 */
export async function loadDecoder(
  config: DecoderConfig,
  reader: WeightReader,
  options: LoadDecoderOptions = {},
): Promise<Decoder> {
  checkDecoderConfig(config);
  const { signal, onProgress } = options;
  const weights = loadingReader(reader, options);
  const { numHiddenLayers, hiddenSize, vocabSize, tieWordEmbeddings } = config;
  return allOrNothing(async (own) => {
    const layers: DecoderLayer[] = [];
    for (let index = 0; index < numHiddenLayers; index++) {
      signal?.throwIfAborted();
      layers.push(own(await loadDecoderLayer(config, weights, index)));
      onProgress?.({ phase: 'load', loaded: index + 1, total: numHiddenLayers });
      await yieldToEventLoop();
    }
    signal?.throwIfAborted();
    const table: [number, number] = [vocabSize, hiddenSize];
    const embedTokens = own(await loadTable(weights, table));
    const lmHead = own(
      tieWordEmbeddings
        ? headOf(embedTokens)
        : await loadProjection(weights, 'lm_head', [hiddenSize, vocabSize]),
    );
    const norm = await readVector(weights, 'norm.weight', hiddenSize);
    return new Decoder({ config, embedTokens, layers, norm, lmHead });
  });
}

async function loadTable(weights: WeightReader, table: [number, number]) {
  const { packing } = weights;
  if (packing) return loadMatrix(weights, 'embed_tokens.weight', table, packing);
  return tf.tensor2d(await weights.read('embed_tokens.weight', table), table);
}

/** The head of a table that is tied to it: one matrix, if it is packed. */
function headOf(table: EmbeddingTable): Projection {
  return isTensor(table) ? denseProjection(tf.transpose(table)) : packedProjection(table);
}

/** Load one layer. The caller disposes it. */
export async function loadDecoderLayer(
  config: DecoderConfig,
  weights: WeightReader,
  index: number,
): Promise<DecoderLayer> {
  const prefix = `layers.${index}`;
  const { hiddenSize, intermediateSize, rmsNormEps } = config;
  return allOrNothing(async (own) => {
    const attention = own(await loadAttention(config, weights, index));
    const mlp = new Map<string, Projection>();
    const load = async (name: string, widths: [number, number]) => {
      mlp.set(name, own(await loadProjection(weights, `${prefix}.mlp.${name}`, widths)));
    };
    await load('gate_proj', [hiddenSize, intermediateSize]);
    await load('up_proj', [hiddenSize, intermediateSize]);
    await load('down_proj', [intermediateSize, hiddenSize]);
    const norm = async (name: string) =>
      own(await readVector(weights, `${prefix}.${name}.weight`, hiddenSize));
    return new DecoderLayer({
      attention,
      mlp,
      norms: {
        input_layernorm: await norm('input_layernorm'),
        post_attention_layernorm: await norm('post_attention_layernorm'),
      },
      rmsNormEps,
    });
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
  return allOrNothing(async (own) => {
    const projections = new Map<string, Projection>();
    const load = async (name: string, widths: [number, number]) => {
      projections.set(name, own(await loadProjection(weights, `${prefix}.${name}`, widths)));
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
  });
}

async function readVector(
  weights: WeightReader,
  name: string,
  length: number,
): Promise<tf.Tensor1D> {
  return tf.tensor1d(await weights.read(name, [length]));
}
