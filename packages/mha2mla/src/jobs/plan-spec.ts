/** What decides how a job treats its layer: a conversion's options, which every job reads again. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ConversionPlan, ConvertOptions } from '../convert/convert-options';
import { checkLatentRanks, type LatentRanks } from '../convert/latent-ranks';
import { measuringPlan } from '../convert/measure-layers';
import { withRanks } from '../convert/plan-ranks';
import { planSource } from '../convert/prepare-conversion';
import { widestRank } from '../convert/widest-rank';

export interface PlanSpec {
  options: ConvertOptions;
  /** For the pass that measures layers: the highest rank that is looked at. */
  highest?: number;
  /** Ranks that were shared out after it. */
  latentRanks?: LatentRanks;
}

/**
 * @returns the plan, and the model as it will be converted.
 * @throws RangeError for options that do not fit the model.
 */
export function planOf(
  original: VlmSource,
  { options, highest, latentRanks }: PlanSpec,
): { source: VlmSource; plan: ConversionPlan } {
  const { source, plan } = planSource(original, options);
  const config = source.config.decoder;
  const layers = config.numHiddenLayers;
  const widest = widestRank(config, plan);
  if (highest !== undefined) {
    if (!(Number.isSafeInteger(highest) && highest >= 1 && highest <= widest)) {
      throw new RangeError(
        `planOf: highest must be an integer from 1 to ${widest}, got ${highest}.`,
      );
    }
    return { source, plan: measuringPlan(plan, highest, layers) };
  }
  if (!latentRanks) return { source, plan };
  checkLatentRanks(latentRanks, { layers, widest, decouple: plan.decouple });
  return { source, plan: withRanks(plan, latentRanks) };
}
