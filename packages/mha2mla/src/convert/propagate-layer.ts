/** Bring calibration samples to the next layer's input, in the form that the plan asks for. */
import type { Dtype } from '@mha2mla/checkpoint';
import {
  type DecoderConfig,
  fitsLatents,
  loadDecoderLayer,
  type WeightReader,
} from '@mha2mla/mla-runtime';
import type { RopePairs } from '@mha2mla/partial-rope';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { LayerJob } from './convert-layer';
import { fitLatents, type LatentRows } from './fit-latents';
import { keptReader, readAttention, storedLayer } from './layer-source';
import { type LayerTensor, type LayerWeights, layerReader } from './layer-weights';
import { roundValues } from './round-values';
import { runThroughLayer } from './run-through-layer';
import { splitAttention } from './split-attention';
import { roundLayer } from './write-layer';

type LatentSpecs = ReturnType<typeof fitLatents>;

export interface ConvertedLayer {
  pairs: RopePairs;
  /** What takes the place of its q, k and v. */
  fresh: LayerWeights;
}

type AdvanceJob = Pick<LayerJob, 'source' | 'plan' | 'batches' | 'index' | 'signal'>;

/**
 * Run every batch through the original, the partial-RoPE or the converted layer.
 * @returns how the layer's latents are cached, where the plan has that fitted.
 * @throws the signal's reason when aborted.
 */
export async function propagateLayer(
  job: AdvanceJob,
  converted: ConvertedLayer,
): Promise<LatentSpecs | undefined> {
  const rows = await advanceSamples(job, converted, job.batches.length);
  return rows && fitLayerLatents(job, converted, rows);
}

/**
 * Bring the batches to the next layer's input.
 * @param total batches that share what a fit looks at, these among them.
 * @returns latents that the layer would cache, where the plan has scales fitted to them.
 * @throws the signal's reason when aborted.
 */
export async function advanceSamples(
  { source, plan, batches, index, signal }: AdvanceJob,
  converted: ConvertedLayer,
  total: number,
): Promise<LatentRows | undefined> {
  const rows: LatentRows | undefined = fitsLatents(plan.cache) ? new Map() : undefined;
  const last = index + 1 === source.config.decoder.numHiddenLayers; // nothing comes after it
  if (batches.length === 0 || (last && !rows)) return undefined;
  const { config, reader } = await formOf(source, plan, converted, index);
  const layer = await loadDecoderLayer(config, reader, index);
  try {
    await runThroughLayer(layer, batches, { rows, total, signal });
  } finally {
    layer.dispose();
  }
  return rows;
}

/** How a layer's latents are cached, by those that were seen. */
export function fitLayerLatents(
  { plan: { groups, cache }, index }: Pick<AdvanceJob, 'plan' | 'index'>,
  { fresh }: ConvertedLayer,
  rows: LatentRows,
): LatentSpecs {
  return fitLatents(rows, fresh, { layer: index, groups, cache });
}

/** The layer as it will be read back, what was kept included. */
async function formOf(
  source: VlmSource,
  { propagate, groups, dtype }: LayerJob['plan'],
  { pairs, fresh }: ConvertedLayer,
  index: number,
): Promise<{ config: DecoderConfig; reader: WeightReader }> {
  const config = source.config.decoder;
  const kept = dtype ? roundedReader(source.weights, dtype) : source.weights;
  if (propagate === 'original') return { config, reader: kept };
  const ropePairs = Array.from({ length: config.numHiddenLayers }, () => pairs);
  const form =
    propagate === 'rope' ? await partialRope(source, dtype, { pairs, fresh }, index) : fresh;
  return {
    config: { ...config, mla: { ropePairs, groups } },
    reader: layerReader(form, index, keptReader(kept)),
  };
}

function roundedReader(weights: WeightReader, dtype: Dtype): WeightReader {
  return {
    shape: (name) => weights.shape(name),
    read: async (name, expected) => roundValues(name, await weights.read(name, expected), dtype),
  };
}

/** The layer with its rotation reduced, as it was written, and nothing factored. */
async function partialRope(
  source: VlmSource,
  dtype: Dtype | undefined,
  { pairs, fresh }: ConvertedLayer,
  index: number,
): Promise<LayerWeights> {
  const read = await readAttention(source, storedLayer(source, index));
  const weights = dtype ? roundLayer(read, dtype, `layers.${index}.`) : read;
  const { key, value } = splitAttention(source.config.decoder, weights, pairs);
  const rotary = [...fresh].filter(([name]) => /\.(q|k_r)_proj\./.test(name));
  const tensors = new Map<string, LayerTensor>(rotary);
  for (const [name, { weight, bias }] of Object.entries({ up_k: key, up_v: value })) {
    tensors.set(`self_attn.kv_proj.${name}.weight`, weight);
    if (bias) tensors.set(`self_attn.kv_proj.${name}.bias`, bias);
  }
  return tensors;
}
