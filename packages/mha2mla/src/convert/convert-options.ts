/** What a conversion does: options, and the plan that they come to. */
import type { CacheOptions } from '@mha2mla/mla-runtime';
import type { LatentRanks } from './latent-ranks';
import type { MklChoice } from './pair-options';

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
  /**
   * Latents cut by groups of KV heads; 1 is the joint latent. Default `auto`: where a quarter or more
   * of the original's values are cached, as few as let a processor decode in 1.2 times the original's
   * time, else 1.
   */
  groups?: number | 'auto';
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
  extends Required<Omit<ConvertOptions, Optional | 'groups'>>,
    Pick<ConvertOptions, 'ranks' | 'kvBudget' | 'hadamard' | 'dtype' | keyof MklChoice> {
  /** The one rank of all latents; absent where `latentRanks` differ. */
  rank?: number;
  groups: number;
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
