import { cacheBlock } from '@mha2mla/vlm-adapters';
import type { LayerRecord } from './convert-layer';
import type { ConversionPlan } from './convert-options';

/**
 * The `mha2mla` block of a converted config.json: the published keys, then ours, which say exactly
 * what the published ones leave to a rank file.
 */
export function mlaBlock(
  plan: ConversionPlan,
  layers: readonly LayerRecord[],
): Record<string, unknown> {
  const cache = cacheBlock(plan.cache);
  return {
    is_gqa2mha2mla: false,
    low_rank: plan.rank,
    partial_rope_version: plan.ranks ? 'mkl' : plan.strategy,
    qk_tensor_path: null,
    rope_dim_for_mla: plan.ropeDim,
    svd_init_method: { key: 'only_key', value: 'only_value' }[plan.factor as string] ?? plan.factor,
    uniform_start_point: plan.uniformStart,
    groups: plan.groups,
    rope_pairs: layers.map(({ ropePairs }) => ropePairs),
    ...(Object.keys(cache).length > 0 && { cache }),
  };
}
