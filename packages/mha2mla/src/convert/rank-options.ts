/** Options of a conversion that say how much is cached: rotary dims, ranks, or a budget that buys both. */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { groupChoices, isFewEnough } from './choose-groups';
import type { ConversionPlan, ConvertOptions } from './convert-options';
import { checkLatentRanks, type LatentRanks, uniformRanks } from './latent-ranks';
import { planKvBudget } from './plan-kv-budget';
import { widestRank } from './widest-rank';

type Sizes = Pick<ConversionPlan, 'groups' | 'ropeDim' | 'latentRanks'>;

/** How much is cached, and in how many latents. */
export function chooseSizes(
  config: DecoderConfig,
  options: ConvertOptions,
  form: Pick<ConversionPlan, 'factor' | 'cache'>,
): Sizes {
  const choices = groupChoices(config, options, form.factor);
  const last = choices.at(-1)!;
  for (const groups of choices.slice(0, -1)) {
    const sizes = sizesOf(config, options, { ...form, groups });
    if (isFewEnough(config, sizes)) return sizes;
  }
  return sizesOf(config, options, { ...form, groups: last });
}

function sizesOf(
  config: DecoderConfig,
  options: ConvertOptions,
  form: Pick<ConversionPlan, 'factor' | 'groups' | 'cache'>,
): Sizes {
  const { factor, groups } = form;
  const bought = fitBudget(config, options, form);
  const ropeDim = bought?.ropeDim ?? checkRopeDim(config, options);
  const ranked = bought ? { ...options, rank: bought.rank } : options;
  return { groups, ropeDim, latentRanks: checkRanks(config, ranked, { factor, ropeDim, groups }) };
}

function checkRopeDim({ headDim }: DecoderConfig, options: ConvertOptions): number {
  const { ropeDim = 2 * Math.max(1, Math.round(headDim / 8)) } = options;
  if (!Number.isSafeInteger(ropeDim) || ropeDim < 0 || ropeDim > headDim || ropeDim % 2 !== 0) {
    throw new RangeError(
      `planConversion: ropeDim must be even and at most the head's ${headDim}, got ${ropeDim}.`,
    );
  }
  return ropeDim;
}

/** Rotary dims and the rank that a budget buys, where one is given. */
function fitBudget(
  config: DecoderConfig,
  options: ConvertOptions,
  form: Pick<ConversionPlan, 'factor' | 'groups' | 'cache'>,
): { ropeDim: number; rank: number } | undefined {
  const { kvBudget, rank, latentRanks, strategy, decouple = true } = options;
  if (kvBudget === undefined) return undefined;
  if (rank !== undefined || latentRanks !== undefined || form.factor === 'none') {
    const got = form.factor === 'none' ? 'factor none' : `rank=${rank ?? 'a table'}`;
    throw new RangeError(`planConversion: kvBudget chooses the ranks of latents, got ${got}, too.`);
  }
  const most = checkRopeDim(config, options);
  const lower = Array.from({ length: most / 2 }, (_, i) => most - 2 * i).filter(
    (ropeDim) => strategy !== 'uniform' || config.headDim % ropeDim === 0,
  );
  const limitRope = options.ropeDim === undefined;
  const ropeDims = limitRope ? lower : [most];
  return planKvBudget(config, { ...form, decouple }, kvBudget, { ropeDims, limitRope });
}

/** Highest budgets at which measuring was seen to pay, with few KV heads and with many (decision 3). */
const MEASURED_UP_TO = { grouped: 0.375, whole: 0.15 };

/**
 * Budgets are measured where samples are at hand anyway, the rotary part is the budget's choice too,
 * and the result may have several ranks.
 */
export function defaultAllocation(
  { numAttentionHeads, numKeyValueHeads }: DecoderConfig,
  { kvBudget, ropeDim, layout }: ConvertOptions,
  seesData: boolean,
): ConversionPlan['allocation'] {
  const most = MEASURED_UP_TO[numKeyValueHeads < numAttentionHeads ? 'grouped' : 'whole'];
  const pays = kvBudget !== undefined && kvBudget <= most && ropeDim === undefined;
  return pays && seesData && layout !== 'reference' ? 'measured' : 'uniform';
}

function checkRanks(
  config: DecoderConfig,
  { rank, latentRanks, decouple = true }: ConvertOptions,
  shape: Pick<ConversionPlan, 'factor' | 'ropeDim' | 'groups'>,
): LatentRanks {
  const layers = config.numHiddenLayers;
  if (shape.factor === 'none') {
    if (rank === undefined && latentRanks === undefined) return uniformRanks(0, layers);
    throw new RangeError(
      `planConversion: factor none has no rank, got rank=${rank ?? latentRanks}.`,
    );
  }
  const widest = widestRank(config, shape);
  if (widest < 1) {
    throw new RangeError(
      `planConversion: factor ${shape.factor} needs keys that are not rotated, got ropeDim=${shape.ropeDim}, the whole head.`,
    );
  }
  if (latentRanks !== undefined) {
    if (rank !== undefined) {
      throw new RangeError('planConversion: rank and latentRanks exclude each other, got both.');
    }
    checkLatentRanks(latentRanks, { layers, widest, decouple });
    return latentRanks;
  }
  if (rank !== undefined && Number.isSafeInteger(rank) && rank >= 1 && rank <= widest) {
    return uniformRanks(rank, layers);
  }
  throw new RangeError(
    `planConversion: rank must be an integer from 1 to ${widest} (latent dims a KV head), got ${rank}.`,
  );
}
