/** The ranks of a conversion by budget: measured and shared out, or the one that fits. */
import { allocateLatents, highestRank } from './allocate-latents';
import type { ConversionPlan } from './convert-options';
import { type LatentRanks, uniformRankOf } from './latent-ranks';
import { type MeasureRun, measureLayers } from './measure-layers';
import { widestRank } from './widest-rank';

/** @returns the plan, its ranks changed where a budget is better spent unevenly. */
export async function planRanks(run: Omit<MeasureRun, 'highest'>): Promise<ConversionPlan> {
  const { plan, source } = run;
  const config = source.config.decoder;
  if (!sharesOut(plan)) return plan;
  const highest = highestRank(plan.rank, widestRank(config, plan));
  const measured = await measureLayers({ ...run, highest });
  return withRanks(plan, allocateLatents(config, plan, measured));
}

/** The plan with other ranks. */
export function withRanks(plan: ConversionPlan, latentRanks: LatentRanks): ConversionPlan {
  return { ...plan, latentRanks, rank: uniformRankOf(latentRanks) };
}

/** Whether a plan's ranks are still to be chosen. */
export function sharesOut(
  plan: ConversionPlan,
): plan is ConversionPlan & { rank: number; kvBudget: number } {
  const { kvBudget, rank, allocation } = plan;
  return kvBudget !== undefined && rank !== undefined && allocation === 'measured';
}
