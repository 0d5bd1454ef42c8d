/** What a token will take in the cache of a planned conversion, before anything is written. */
import {
  type CacheBytes,
  cacheBytesPerToken,
  type DecoderConfig,
  type WeightReader,
} from '@mha2mla/mla-runtime';
import type { ConversionPlan } from './convert-options';
import { plannedShapes } from './planned-shapes';

type PlannedLatents = Pick<
  ConversionPlan,
  'factor' | 'ropeDim' | 'groups' | 'decouple' | 'latentRanks' | 'cache'
>;

/** Folders that hold latents, and whose ranks they have. */
const PART = /^layers\.(\d+)\.self_attn\.(kv_proj|kv_proj_img|kv_proj_text)\.(\w+)\.weight$/;

/** Bytes of a vision and of a text token over all layers, in the stored format. */
export function plannedCacheBytes(config: DecoderConfig, plan: PlannedLatents): CacheBytes {
  const pairs = Int32Array.from({ length: plan.ropeDim / 2 }, (_, i) => i);
  const layer = Array.from({ length: config.numKeyValueHeads }, () => pairs);
  const ropePairs = Array.from({ length: config.numHiddenLayers }, () => layer);
  const shape: WeightReader['shape'] = (name) => {
    const [, index, folder, part] = PART.exec(name) ?? [];
    if (part === undefined || (folder === 'kv_proj') === plan.decouple) return undefined;
    const rank = plan.latentRanks[folder === 'kv_proj_img' ? 'vision' : 'text'][Number(index)]!;
    return plannedShapes(config, plan, rank)[part];
  };
  const converted = { ...config, mla: { ropePairs, groups: plan.groups } };
  return cacheBytesPerToken(converted, { shape }, plan.cache);
}
