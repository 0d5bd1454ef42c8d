/** Bring calibration samples to the next layer's input, in the form that the plan asks for. */
import { type DecoderConfig, type DecoderLayer, loadDecoderLayer } from '@mha2mla/mla-runtime';
import type { RopePairs } from '@mha2mla/partial-rope';
import { advanceBatch } from './calibration-batch';
import type { LayerJob } from './convert-layer';
import { type LayerTensor, type LayerWeights, layerReader } from './layer-weights';
import { splitAttention } from './split-attention';

export interface ConvertedLayer {
  /** The original layer. */
  weights: LayerWeights;
  pairs: RopePairs;
  /** What takes the place of its q, k and v. */
  fresh: LayerWeights;
}

/** Run every batch through the original, the partial-RoPE or the converted layer. */
export async function propagateLayer(
  { source, plan, batches, index }: Pick<LayerJob, 'source' | 'plan' | 'batches' | 'index'>,
  converted: ConvertedLayer,
): Promise<void> {
  if (batches.length === 0) return;
  const { config, tensors } = formOf(source.config.decoder, plan, converted);
  const layer: DecoderLayer = await loadDecoderLayer(config, layerReader(tensors, index), index);
  for (const batch of batches) advanceBatch(batch, layer.prefill(batch.hidden, batch.step));
  layer.dispose();
}

function formOf(
  config: DecoderConfig,
  { propagate, groups }: LayerJob['plan'],
  { weights, pairs, fresh }: ConvertedLayer,
): { config: DecoderConfig; tensors: LayerWeights } {
  if (propagate === 'original') return { config, tensors: weights };
  const ropePairs = Array.from({ length: config.numHiddenLayers }, () => pairs);
  const form = propagate === 'rope' ? partialRope(config, weights, pairs, fresh) : fresh;
  return {
    config: { ...config, mla: { ropePairs, groups } },
    tensors: new Map([...weights, ...form]),
  };
}

/** The layer with its rotation reduced, as it was written, and nothing factored. */
function partialRope(
  config: DecoderConfig,
  weights: LayerWeights,
  pairs: RopePairs,
  fresh: LayerWeights,
): LayerWeights {
  const { key, value } = splitAttention(config, weights, pairs);
  const rotary = [...fresh].filter(([name]) => /\.(q|k_r)_proj\./.test(name));
  const tensors = new Map<string, LayerTensor>(rotary);
  for (const [name, { weight, bias }] of Object.entries({ up_k: key, up_v: value })) {
    tensors.set(`self_attn.kv_proj.${name}.weight`, weight);
    if (bias) tensors.set(`self_attn.kv_proj.${name}.bias`, bias);
  }
  return tensors;
}
