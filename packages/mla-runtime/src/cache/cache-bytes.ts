/**
 * Bytes that one token takes in the cache, over all layers, in the stored format: 16 bits a value
 * where it is not quantized, scales and zero points included. Positions are not: all layers share
 * them, 4 bytes of the place in the sequence and, where rotary keys have a bias, 4 a rotary axis, in
 * memory of the host; `DecoderCache.bytes` counts them.
 */
import { bytesPerToken } from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';
import { headShape } from '../attention/head-shape';
import { LATENT_FOLDERS } from '../attention/latent-folders';
import type { DecoderConfig } from '../decoder-config';
import type { WeightReader } from '../weight-reader';
import { type CacheOptions, cacheStorage, checkCacheOptions, fittedBits } from './cache-options';

/** Bytes a token over all layers. */
export interface CacheBytes {
  vision: number;
  text: number;
}

/**
 * @param weights where the shapes of the layers' projections can be looked up.
 * @returns bytes of a vision token and of a text token.
 */
export function cacheBytesPerToken(
  config: DecoderConfig,
  weights: Pick<WeightReader, 'shape'>,
  options: CacheOptions = {},
): CacheBytes {
  checkCacheOptions(options, config.numHiddenLayers, []);
  const total = { vision: 0, text: 0 };
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    total.vision += layerBytes(config, weights, layer, 'vision', options);
    total.text += layerBytes(config, weights, layer, 'text', options);
  }
  return total;
}

function layerBytes(
  config: DecoderConfig,
  weights: Pick<WeightReader, 'shape'>,
  layer: number,
  modality: 'vision' | 'text',
  options: CacheOptions,
): number {
  const { numKeyValueHeads, headDim, qkRopeHeadDim } = headShape(config, layer);
  const bytes = (segment: Segment, part: string, channels: number) => {
    const planned = options.latentSpecs ? undefined : fittedBits(layer, segment, options);
    // Before a conversion has fitted them: bands take no more words than one width.
    if (part === 'kvLatent' && planned) return 4 * Math.ceil((channels * planned) / 32);
    const { spec = { method: 'half' } } = cacheStorage(layer, segment, part, options);
    return bytesPerToken(spec, channels);
  };
  const name = `layers.${layer}.self_attn`;
  const own = latentWidth(weights, `${name}.${LATENT_FOLDERS[modality]}`);
  const shared = latentWidth(weights, `${name}.${LATENT_FOLDERS.all}`);
  const latent = own ?? shared;
  if (!config.mla || latent === undefined) {
    return numKeyValueHeads * (bytes('all', 'key', headDim) + bytes('all', 'value', headDim));
  }
  const segment = own === undefined ? 'all' : modality;
  const { groups } = config.mla;
  return (
    groups * bytes(segment, 'kvLatent', latent / groups) +
    bytes(segment, 'kPe', numKeyValueHeads * qkRopeHeadDim)
  );
}

/** Latent width of a folder of projections, separate ones added up; `undefined` if it has none. */
function latentWidth(weights: Pick<WeightReader, 'shape'>, name: string): number | undefined {
  const width = (part: string, row = 0) => weights.shape(`${name}.${part}.weight`)?.[row];
  const joint = width('down_kv');
  if (joint !== undefined) return joint;
  const key = width('down_k');
  const value = width('down_v');
  if (key === undefined && value === undefined) return undefined;
  // A side that is not compressed is cached at its own width.
  return (key ?? width('up_k') ?? 0) + (value ?? width('up_v') ?? 0);
}
