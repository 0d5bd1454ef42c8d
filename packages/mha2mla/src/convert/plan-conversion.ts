import { type DecoderConfig, fitsLatents } from '@mha2mla/mla-runtime';
import { cacheBlock, parseCacheSetting } from '@mha2mla/vlm-adapters';
import { smallestForm } from '../spend/cache-forms';
import { checkCacheBits, checkFitted, checkReference, checkSearch } from './agreeing-options';
import { choosePairs } from './choose-pairs';
import { CONVERT_CHOICES, type ConversionPlan, type ConvertOptions } from './convert-options';
import { uniformRankOf } from './latent-ranks';
import { withOwnPairs } from './own-pairs';
import { checkMklChoice, checkSectionQuotas, choosesByScores } from './pair-options';
import { plannedCacheBytes } from './planned-cache-bytes';
import { chooseSizes, defaultAllocation } from './rank-options';

/**
 * Check options against a model and fill in defaults, before any work.
 * @param config of an original, or of a partial-RoPE model, which keeps its pairs.
 * @throws RangeError
 */
export function planConversion(config: DecoderConfig, given: ConvertOptions): ConversionPlan {
  checkChoices(given);
  const options = config.mla ? withOwnPairs(config, config.mla, given) : given;
  const { strategy = 'mkl', factor = 'joint', init = 'activations' } = options;
  // As it will be read back, so that bits that there are not are told now.
  const turned = options.hadamard !== undefined && options.layout !== 'reference';
  const cache = parseCacheSetting({
    cache: cacheBlock({ ...options.cache, ...(turned && { latentsTurned: true }) }),
  });
  if (options.spend === 'auto') checkSearch(options, factor);
  // What a search may find at least.
  const stored = options.spend === 'auto' ? { ...cache, ...smallestForm(cache) } : cache;
  const form = { factor, cache: stored };
  const { groups, ropeDim, latentRanks } = chooseSizes(config, options, form);
  const choosesByAttention = choosesByScores(strategy) && options.ranks === undefined;
  const unrotate = options.unrotate ?? (choosesByAttention ? 'fitted' : 'plain');
  const seesActivations = init !== 'weights' && factor !== 'none';
  const seesData = seesActivations || choosesByAttention || unrotate === 'fitted';
  const allocation = options.allocation ?? defaultAllocation(config, options, seesData);
  const weighsAttention = init === 'attention' && factor !== 'none';
  const plan: ConversionPlan = {
    strategy,
    ...checkMklChoice(options, strategy),
    ropeDim,
    sectionQuotas: checkSectionQuotas(config, options, ropeDim),
    uniformStart: options.uniformStart ?? 0,
    ranks: options.ranks,
    unrotate,
    rank: uniformRankOf(latentRanks),
    latentRanks,
    kvBudget: options.kvBudget,
    allocation,
    factor,
    init,
    center: options.center ?? false,
    route: options.route ?? 'exact',
    decouple: options.decouple ?? true,
    groups,
    hadamard: checkHadamard(options, factor),
    propagate: options.propagate ?? 'converted',
    videoAsText: options.videoAsText ?? options.layout === 'reference',
    layout: options.layout ?? 'extended',
    dtype: options.dtype,
    cache,
    needsAttention: choosesByAttention || unrotate === 'fitted' || weighsAttention,
    needsCalibration:
      seesData ||
      fitsLatents(cache) ||
      options.spend === 'auto' ||
      (options.kvBudget !== undefined && allocation === 'measured'),
  };
  if (plan.center && !seesActivations) {
    throw new RangeError(
      `planConversion: center needs factors that see activations, got init=${init}, factor=${factor}.`,
    );
  }
  if (!choosesByAttention) checkPairs(config, plan);
  checkCacheBits(plan);
  if (fitsLatents(cache)) checkFitted(plan);
  plannedCacheBytes(config, { ...plan, cache: stored }); // bits of layers that there are not are told now
  if (plan.layout === 'reference') checkReference(plan);
  return plan;
}

function checkChoices(options: ConvertOptions): void {
  for (const [name, allowed] of Object.entries(CONVERT_CHOICES)) {
    const value = options[name as keyof typeof CONVERT_CHOICES];
    if (value !== undefined && !allowed.some((choice) => choice === value)) {
      throw new RangeError(
        `planConversion: ${name} must be one of ${allowed.join(', ')}, got ${JSON.stringify(value)}.`,
      );
    }
  }
}

function checkHadamard(
  { hadamard }: ConvertOptions,
  factor: ConversionPlan['factor'],
): number | undefined {
  if (hadamard === undefined) return undefined;
  if (!(Number.isSafeInteger(hadamard) && hadamard >= 2 && Number.isInteger(Math.log2(hadamard)))) {
    throw new RangeError(
      `planConversion: hadamard must be a power of two of at least 2, got ${hadamard}.`,
    );
  }
  if (factor !== 'joint') {
    throw new RangeError(`planConversion: hadamard needs factor joint, got ${factor}.`);
  }
  return hadamard;
}

/** Choose the pairs that need no data, so that ranks or a start that do not fit are told at once. */
function checkPairs(config: DecoderConfig, plan: ConversionPlan): void {
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  const size = numHiddenLayers * numKeyValueHeads * headDim;
  if (plan.ranks && plan.ranks.length !== size) {
    throw new RangeError(
      `planConversion: ranks must be [${numHiddenLayers} layers, ${numKeyValueHeads} KV heads, ${headDim}], ${size} values, got ${plan.ranks.length}.`,
    );
  }
  for (let layer = 0; layer < numHiddenLayers; layer++) choosePairs(config, plan, layer);
}
