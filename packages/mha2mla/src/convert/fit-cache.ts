/**
 * Fit how a converted model's latents are cached, to the model as it is: training moves them out of
 * the ranges that its conversion saw.
 */
import {
  type CacheOptions,
  fitsLatents,
  LATENT_FOLDERS,
  loadDecoderLayer,
  type Segment,
  type WeightReader,
} from '@mha2mla/mla-runtime';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import { disposeBatch } from './calibration-batch';
import { type EmbedCalibrationOptions, embedCalibration } from './embed-calibration';
import { fitLatents } from './fit-latents';
import type { LayerTensor, LayerWeights } from './layer-weights';
import { runThroughLayer } from './run-through-layer';

/** Options of `fitCache`. */
export interface FitCacheOptions extends EmbedCalibrationOptions {
  /** Of method `static` or `bands`. Default as the model is stored. */
  cache?: CacheOptions;
  /** The decoder's weights. Default those of the model. */
  weights?: WeightReader;
}

/**
 * @param source a converted model whose keys and values share latents (factor joint).
 * @param samples in batches; some 2,000 tokens a modality are enough.
 * @returns `cache` with `latentSpecs` of every layer.
 * @throws RangeError for another model or method, or a modality without tokens; the signal's reason
 *   when aborted.
 */
export async function fitCache(
  source: VlmSource,
  samples: readonly ModelInputs[],
  { cache = source.cache, weights = source.weights, ...options }: FitCacheOptions = {},
): Promise<CacheOptions> {
  const { decoder } = source.config;
  if (!decoder.mla || !fitsLatents(cache)) {
    throw new RangeError(
      `fitCache: a converted model and kvMethod static or bands are needed, got ${decoder.mla ? '' : 'an original, '}kvMethod=${cache.kvMethod}.`,
    );
  }
  const { groups } = decoder.mla;
  const latentSpecs = [];
  const batches = await embedCalibration(source, samples, options);
  try {
    for (let index = 0; index < decoder.numHiddenLayers; index++) {
      const layer = await loadDecoderLayer(decoder, weights, index);
      try {
        const rows = new Map();
        await runThroughLayer(layer, batches, { rows, signal: options.signal });
        const own = await upProjections(weights, index, layer.attention.segments);
        latentSpecs.push(fitLatents(rows, own, { layer: index, groups, cache }));
      } finally {
        layer.dispose();
      }
    }
  } finally {
    for (const batch of batches) disposeBatch(batch);
  }
  return { ...cache, latentSpecs };
}

async function upProjections(
  weights: WeightReader,
  index: number,
  segments: readonly Segment[],
): Promise<LayerWeights> {
  const found = new Map<string, LayerTensor>();
  for (const segment of segments) {
    const folder = `self_attn.${LATENT_FOLDERS[segment]}`;
    if (!weights.shape(`layers.${index}.${folder}.down_kv.weight`)) {
      throw new RangeError(
        `fitCache: the model must have latents of keys and values together (factor joint), got no ${folder}.down_kv in layer ${index}.`,
      );
    }
    for (const name of ['up_k', 'up_v'].map((part) => `${folder}.${part}.weight`)) {
      const shape = weights.shape(`layers.${index}.${name}`)!; // it was loaded
      found.set(name, { shape, values: await weights.read(`layers.${index}.${name}`, shape) });
    }
  }
  return found;
}
