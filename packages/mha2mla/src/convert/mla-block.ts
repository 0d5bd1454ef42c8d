import { cacheBlock } from '@mha2mla/vlm-adapters';
import type { LayerRecord } from './convert-layer';
import type { ConversionPlan } from './convert-options';
import { choosesByScores } from './pair-options';

type Block = Record<string, unknown>;

/** Files that a config of the reference names, in the folder of the model. */
export const RANK_FILE = 'ranks.pth';
export const STAGE1_CONFIG = 'stage1_config.json';

/**
 * The `mha2mla` block of a converted config.json: the published keys, then ours, which say exactly
 * what the published ones leave to a rank file.
 */
export function mlaBlock(plan: ConversionPlan, layers: readonly LayerRecord[]): Block {
  if (plan.layout === 'reference') return referenceBlock(plan);
  const cache = cacheBlock(plan.cache);
  return {
    ...publishedKeys(plan),
    qk_tensor_path: null,
    groups: plan.groups,
    ...(plan.rank === undefined && { latent_ranks: plan.latentRanks }),
    rope_pairs: layers.map(({ ropePairs }) => ropePairs),
    video_as_text: plan.videoAsText,
    ...(Object.keys(cache).length > 0 && { cache }),
  };
}

/**
 * The block of the model between the reference's stages, partial RoPE without low rank: its loader
 * builds that model first.
 */
export function stage1Block(plan: ConversionPlan): Block {
  return { ...publishedKeys(plan), peft_train: null, svd_init_method: 'none' };
}

/** What the reference's loader expects; the presence of `stage1_path` tells it the stage. */
function referenceBlock(plan: ConversionPlan): Block {
  if (plan.factor === 'none') return stage1Block(plan);
  return {
    ...publishedKeys(plan),
    peft_train: null,
    stage1_path: STAGE1_CONFIG,
    // Factors come from the weights, not from a file of moments.
    svd_init_weight_path: null,
  };
}

function publishedKeys(plan: ConversionPlan): Block {
  const { strategy, ranks, sectionQuotas } = plan;
  // Its name for whatever a rank file says.
  const followsFromConfig = !choosesByScores(strategy) && !ranks && !sectionQuotas;
  const version = followsFromConfig ? strategy : 'mkl';
  return {
    is_gqa2mha2mla: false,
    low_rank: plan.rank ?? null,
    partial_rope_version: version,
    qk_tensor_path: version === 'mkl' ? RANK_FILE : null,
    rope_dim_for_mla: plan.ropeDim,
    svd_init_method: { key: 'only_key', value: 'only_value' }[plan.factor as string] ?? plan.factor,
    uniform_start_point: plan.uniformStart,
  };
}
