/** Bring calibration samples to the next layer's input, in the form that the plan asks for. */
import { type DecoderConfig, loadDecoderLayer, yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { RopePairs } from '@mha2mla/partial-rope';
import { advanceBatch } from './calibration-batch';
import type { LayerJob } from './convert-layer';
import { type LayerTensor, type LayerWeights, layerReader } from './layer-weights';
import { splitAttention } from './split-attention';
import { roundLayer } from './write-layer';

export interface ConvertedLayer {
  /** The original layer. */
  weights: LayerWeights;
  pairs: RopePairs;
  /** What takes the place of its q, k and v. */
  fresh: LayerWeights;
}

/**
 * Run every batch through the original, the partial-RoPE or the converted layer.
 * @throws the signal's reason when aborted.
 */
export async function propagateLayer(
  {
    source,
    plan,
    batches,
    index,
    signal,
  }: Pick<LayerJob, 'source' | 'plan' | 'batches' | 'index' | 'signal'>,
  converted: ConvertedLayer,
): Promise<void> {
  if (batches.length === 0) return;
  const { config, tensors } = formOf(source.config.decoder, plan, converted, index);
  const layer = await loadDecoderLayer(config, layerReader(tensors, index), index);
  try {
    for (const batch of batches) {
      await yieldToEventLoop();
      signal?.throwIfAborted();
      advanceBatch(batch, layer.prefill(batch.hidden, batch.step));
    }
  } finally {
    layer.dispose();
  }
}

function formOf(
  config: DecoderConfig,
  { propagate, groups, dtype }: LayerJob['plan'],
  { weights, pairs, fresh }: ConvertedLayer,
  index: number,
): { config: DecoderConfig; tensors: LayerWeights } {
  if (propagate === 'original') return { config, tensors: weights };
  const ropePairs = Array.from({ length: config.numHiddenLayers }, () => pairs);
  // As it will be read back, what was kept included.
  const kept = dtype ? roundLayer(weights, dtype, `layers.${index}.`) : weights;
  const form = propagate === 'rope' ? partialRope(config, kept, pairs, fresh) : fresh;
  return {
    config: { ...config, mla: { ropePairs, groups } },
    tensors: new Map([...kept, ...form]),
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
