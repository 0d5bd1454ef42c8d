/** What a conversion does, with the defaults that measured best. */
import { type CacheOptions, type DecoderConfig, fitsLatents } from '@mha2mla/mla-runtime';
import { cacheBlock, parseCacheSetting } from '@mha2mla/vlm-adapters';
import { smallestForm } from '../spend/cache-forms';
import { choosePairs } from './choose-pairs';
import { checkLatentRanks, type LatentRanks, uniformRankOf, uniformRanks } from './latent-ranks';
import { withOwnPairs } from './own-pairs';
import {
  checkMklChoice,
  checkSectionQuotas,
  choosesByScores,
  type MklChoice,
} from './pair-options';
import { planKvBudget } from './plan-kv-budget';
import { plannedCacheBytes } from './planned-cache-bytes';
import { widestRank } from './widest-rank';

/** What a conversion is to do. */
export interface ConvertOptions {
  /** How rotary pairs are chosen. Default `mkl`. */
  strategy?: 'mkl' | 'norm2' | 'greedy' | 'high' | 'low' | 'uniform';
  /** What `mkl` does to a pair: take its rotation (default), or the pair itself. */
  mklVariant?: 'unrotate' | 'zero';
  /** Whose modality tells the divergences of `mkl` apart: the row's (default), or the keys'. */
  mklSplit?: 'rows' | 'keys';
  /** Weight of vision in the scores of `mkl`, in [0, 1]. Default a half. */
  visionWeight?: number;
  /**
   * Pairs that keep their rotation of each section of M-RoPE (time, height, width), chosen in each by
   * itself; `proportional` to their sizes. Default: the sections play no part.
   */
  sectionQuotas?: readonly number[] | 'proportional';
  /** Dims a head that keep their rotation, even. Default a quarter of the head. */
  ropeDim?: number;
  /** First pair of `uniform`. Default 0. */
  uniformStart?: number;
  /** A given rank file, [layers, KV heads, headDim]; takes the place of `strategy`. */
  ranks?: Uint8Array;
  /**
   * What takes the place of a rotation: `plain` as if every key stood where the query stands (the
   * reference), `fitted` a constant turn and scale of the query's pair, fitted to the attention.
   * Default `fitted` where pairs are chosen by scores of the attention, else `plain`.
   */
  unrotate?: 'fitted' | 'plain';
  /** Latent dims a KV head; with `split`, for K and for V each. Needed unless `factor` is `none`. */
  rank?: number;
  /** A rank for each layer and modality; takes the place of `rank`. */
  latentRanks?: LatentRanks;
  /**
   * Share of the original cache's bytes, above 0 to 1; takes the place of `rank`, and lowers the
   * default `ropeDim` where rotary keys would take more than half.
   */
  kvBudget?: number;
  /**
   * What a budget is spent on: `rank` at the bits that `cache` says (default), or `auto`, rank or
   * bits, rotary dims among them, as a search on the calibration data finds best.
   */
  spend?: 'rank' | 'auto';
  /**
   * How a budget is shared by layers and modalities: `uniform` one rank for all, `measured` by what
   * each latent would change in the original's residual stream. Default `measured` up to 0.375 with
   * fewer KV heads than heads, and up to 0.15 with as many, where samples are needed anyway and
   * `ropeDim` is left to the budget, but not for the layout of the reference; else `uniform`.
   */
  allocation?: 'uniform' | 'measured';
  /** Which of K and V share a latent. Default `joint`. */
  factor?: 'joint' | 'split' | 'key' | 'value' | 'none';
  /**
   * Factors of the weights alone, of what they do to activations (default), or of what that does to
   * the attention's output.
   */
  init?: 'weights' | 'activations' | 'attention';
  /**
   * Factor what is left of activations without their mean, modality by modality; the mean's part
   * goes to the biases of keys and values, which a model without biases gets by it. Default false.
   */
  center?: boolean;
  /**
   * How factors are found: `exact` in float64 (default), or `subspace`, by products on the device,
   * for latents of at most a quarter of what they factor. It pays where the backend is tensorflow or
   * a GPU, the more the wider the layer; wasm has no faster products than the exact route.
   */
  route?: 'exact' | 'subspace';
  /** A latent for each modality (default), or one for both. */
  decouple?: boolean;
  /** Latents cut by groups of KV heads. Default 1, the joint latent. */
  groups?: number;
  /**
   * Largest Hadamard block, a power of two, by which latents are turned: the model gives the same,
   * and no channel of what is cached stands out. Default none.
   */
  hadamard?: number;
  /**
   * What the next layer is calibrated on: output of the original, partial-RoPE or converted layer
   * (default).
   */
  propagate?: 'original' | 'rope' | 'converted';
  /** Send video tokens through the text branch, as the reference does. Default false. */
  videoAsText?: boolean;
  /**
   * How the result is described: `extended` says all in config.json (default); `reference` writes
   * the keys and files that the Python reference loads, and refuses what has no place there.
   */
  layout?: 'extended' | 'reference';
  /** Stored precision. Default that of the checkpoint. */
  dtype?: 'BF16' | 'F16' | 'F32';
  /** How the converted model's cache is stored unless a run says otherwise. Default exact. */
  cache?: CacheOptions;
}

/** Options that stay `undefined` where they play no part. */
type Optional =
  | 'ranks'
  | 'rank'
  | 'kvBudget'
  | 'spend'
  | 'hadamard'
  | 'dtype'
  | 'sectionQuotas'
  | keyof MklChoice;

/** `ConvertOptions` with all defaults, checked against a model. */
export interface ConversionPlan
  extends Required<Omit<ConvertOptions, Optional>>,
    Pick<ConvertOptions, 'ranks' | 'kvBudget' | 'hadamard' | 'dtype' | keyof MklChoice> {
  /** The one rank of all latents; absent where `latentRanks` differ. */
  rank?: number;
  /** Pairs to keep of each section. */
  sectionQuotas?: readonly number[];
  /** Whether activations have to be seen. */
  needsCalibration: boolean;
  /** Whether queries and keys have to be seen, too. */
  needsAttention: boolean;
}

/** Options that are one of a few words, and the words. */
export const CONVERT_CHOICES = {
  strategy: ['mkl', 'norm2', 'greedy', 'high', 'low', 'uniform'],
  mklVariant: ['unrotate', 'zero'],
  mklSplit: ['rows', 'keys'],
  unrotate: ['fitted', 'plain'],
  factor: ['joint', 'split', 'key', 'value', 'none'],
  init: ['weights', 'activations', 'attention'],
  route: ['exact', 'subspace'],
  propagate: ['original', 'rope', 'converted'],
  spend: ['rank', 'auto'],
  allocation: ['uniform', 'measured'],
  layout: ['extended', 'reference'],
  dtype: ['BF16', 'F16', 'F32'],
} as const;

/**
 * Check options against a model and fill in defaults, before any work.
 * @param config of an original, or of a partial-RoPE model, which keeps its pairs.
 * @throws RangeError
 */
export function planConversion(config: DecoderConfig, given: ConvertOptions): ConversionPlan {
  checkChoices(given);
  const options = config.mla ? withOwnPairs(config, config.mla, given) : given;
  const { strategy = 'mkl', factor = 'joint', init = 'activations' } = options;
  const groups = checkGroups(config, options, factor);
  // As it will be read back, so that bits that there are not are told now.
  const turned = options.hadamard !== undefined && options.layout !== 'reference';
  const cache = parseCacheSetting({
    cache: cacheBlock({ ...options.cache, ...(turned && { latentsTurned: true }) }),
  });
  if (options.spend === 'auto') checkSearch(options, factor);
  // What a search may find at least.
  const stored = options.spend === 'auto' ? { ...cache, ...smallestForm(cache) } : cache;
  const bought = fitBudget(config, options, { factor, groups, cache: stored });
  const ropeDim = bought?.ropeDim ?? checkRopeDim(config, options);
  const ranked = bought ? { ...options, rank: bought.rank } : options;
  const latentRanks = checkRanks(config, ranked, { factor, ropeDim, groups });
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
      (bought !== undefined && allocation === 'measured'),
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

/** What a search can choose among, and what is not yet chosen. */
function checkSearch(
  { kvBudget, cache, hadamard, layout }: ConvertOptions,
  factor: ConversionPlan['factor'],
): void {
  const wrong = Object.entries({
    kvBudget: kvBudget !== undefined,
    'no kvBits, which it chooses': cache?.kvBits === undefined && cache?.layers === undefined,
    'factor joint': factor === 'joint',
    'no hadamard': hadamard === undefined,
    'a kvMethod that fits nothing': !fitsLatents(cache ?? {}),
    'layout extended': layout !== 'reference',
  }).filter(([, holds]) => !holds);
  if (wrong.length === 0) return;
  throw new RangeError(
    `planConversion: spend auto needs ${wrong.map(([must]) => must).join(', ')}.`,
  );
}

/** What has no key in the reference's config would be lost without a word. */
function checkReference({ groups, rank, cache, ...plan }: ConversionPlan): void {
  const { videoAsText, decouple, factor, allocation } = plan;
  const wrong = Object.entries({
    'one rank for all latents': rank !== undefined && allocation === 'uniform',
    'groups=1': groups === 1,
    'no cache bits': Object.keys(cache).length === 0,
    'videoAsText=true': videoAsText,
    'decouple=true': decouple || factor === 'none',
  }).filter(([, holds]) => !holds);
  if (wrong.length === 0) return;
  throw new RangeError(
    `planConversion: layout reference needs ${wrong.map(([must]) => must).join(', ')}. Its Python code knows nothing else.`,
  );
}

/** A model that is stored with bits that it cannot have would not be loaded. */
function checkCacheBits({ decouple, factor, cache: { kvBits } }: ConversionPlan): void {
  if (typeof kvBits !== 'object' || kvBits.vision === kvBits.text) return;
  if (decouple && factor !== 'none') return;
  throw new RangeError(
    `planConversion: kvBits must be one number where both modalities share a latent, got vision=${kvBits.vision}, text=${kvBits.text}.`,
  );
}

/** Scales are fitted to the latents that the converted model will have, on the way to the next layer. */
function checkFitted({ factor, propagate, hadamard, cache: { kvMethod } }: ConversionPlan): void {
  const wrong = Object.entries({
    'factor joint': factor === 'joint',
    'propagate converted': propagate === 'converted',
    // Turned channels are of one size, and no band could be told from the next.
    'no hadamard': kvMethod === 'static' || hadamard === undefined,
  }).filter(([, holds]) => !holds);
  if (wrong.length === 0) return;
  throw new RangeError(
    `planConversion: kvMethod ${kvMethod} needs ${wrong.map(([must]) => must).join(', ')}, got factor=${factor}, propagate=${propagate}, hadamard=${hadamard}.`,
  );
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

function checkRopeDim({ headDim }: DecoderConfig, options: ConvertOptions): number {
  const { ropeDim = 2 * Math.max(1, Math.round(headDim / 8)) } = options;
  if (!Number.isSafeInteger(ropeDim) || ropeDim < 0 || ropeDim > headDim || ropeDim % 2 !== 0) {
    throw new RangeError(
      `planConversion: ropeDim must be even and at most the head's ${headDim}, got ${ropeDim}.`,
    );
  }
  return ropeDim;
}

/** Highest budgets at which measuring was seen to pay, with few KV heads and with many (decision 3). */
const MEASURED_UP_TO = { grouped: 0.375, whole: 0.15 };

/**
 * Budgets are measured where samples are at hand anyway, the rotary part is the budget's choice too,
 * and the result may have several ranks.
 */
function defaultAllocation(
  { numAttentionHeads, numKeyValueHeads }: DecoderConfig,
  { kvBudget, ropeDim, layout }: ConvertOptions,
  seesData: boolean,
): ConversionPlan['allocation'] {
  const most = MEASURED_UP_TO[numKeyValueHeads < numAttentionHeads ? 'grouped' : 'whole'];
  const pays = kvBudget !== undefined && kvBudget <= most && ropeDim === undefined;
  return pays && seesData && layout !== 'reference' ? 'measured' : 'uniform';
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

function checkGroups(
  { numKeyValueHeads }: DecoderConfig,
  { groups = 1 }: ConvertOptions,
  factor: ConversionPlan['factor'],
): number {
  if (!Number.isSafeInteger(groups) || groups < 1 || numKeyValueHeads % groups !== 0) {
    throw new RangeError(
      `planConversion: groups must divide the ${numKeyValueHeads} KV heads, got ${groups}.`,
    );
  }
  if (groups > 1 && factor !== 'joint') {
    throw new RangeError(`planConversion: groups need factor joint, got ${factor}.`);
  }
  return groups;
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
