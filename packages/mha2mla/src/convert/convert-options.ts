/** What a conversion does, with the defaults that measured best. */
import type { DecoderConfig } from '@mha2mla/mla-runtime';

export interface ConvertOptions {
  /** How rotary pairs are chosen. Default `mkl`. */
  strategy?: 'mkl' | 'high' | 'low' | 'uniform';
  /** Dims a head that keep their rotation, even. Default a quarter of the head. */
  ropeDim?: number;
  /** First pair of `uniform`. Default 0. */
  uniformStart?: number;
  /** A given rank file, [layers, KV heads, headDim]; takes the place of `strategy`. */
  ranks?: Uint8Array;
  /**
   * What takes the place of a rotation: `plain` as if every key stood where the query stands (the
   * reference), `fitted` a constant turn and scale of the query's pair, fitted to the attention.
   * Default `fitted` where pairs are chosen by `mkl`, else `plain`.
   */
  unrotate?: 'fitted' | 'plain';
  /** Latent dims a KV head; with `split`, for K and for V each. Needed unless `factor` is `none`. */
  rank?: number;
  /** Which of K and V share a latent. Default `joint`. */
  factor?: 'joint' | 'split' | 'key' | 'value' | 'none';
  /** Factors of the weights alone, or of what they do to activations (default). */
  init?: 'weights' | 'activations';
  /** A latent for each modality (default), or one for both. */
  decouple?: boolean;
  /** Latents cut by groups of KV heads. Default 1, the joint latent. */
  groups?: number;
  /**
   * What the next layer is calibrated on: output of the original, partial-RoPE or converted layer
   * (default).
   */
  propagate?: 'original' | 'rope' | 'converted';
  /** Stored precision. Default that of the checkpoint. */
  dtype?: 'BF16' | 'F16' | 'F32';
}

export interface ConversionPlan extends Required<Omit<ConvertOptions, 'ranks' | 'dtype'>> {
  ranks?: Uint8Array;
  dtype?: ConvertOptions['dtype'];
  /** Latent width of a layer, all KV heads and both of K and V where they are apart. */
  latentWidth: number;
  /** Whether activations have to be seen. */
  needsCalibration: boolean;
  /** Whether queries and keys have to be seen, too. */
  needsAttention: boolean;
}

/** Check options against a model and fill in defaults. @throws RangeError */
export function planConversion(config: DecoderConfig, options: ConvertOptions): ConversionPlan {
  const { headDim, numKeyValueHeads } = config;
  if (config.mla) {
    throw new RangeError('planConversion: expected an original model, got a converted one.');
  }
  const { strategy = 'mkl', factor = 'joint', init = 'activations' } = options;
  const ropeDim = options.ropeDim ?? 2 * Math.max(1, Math.round(headDim / 8));
  if (!Number.isSafeInteger(ropeDim) || ropeDim < 0 || ropeDim > headDim || ropeDim % 2 !== 0) {
    throw new RangeError(
      `planConversion: ropeDim must be even and at most the head's ${headDim}, got ${ropeDim}.`,
    );
  }
  const rank = options.rank ?? 0;
  const perHead = widestRank(factor, headDim, ropeDim);
  if (factor !== 'none' && !(Number.isSafeInteger(rank) && rank >= 1 && rank <= perHead)) {
    throw new RangeError(
      `planConversion: rank must be an integer from 1 to ${perHead} (latent dims a KV head), got ${options.rank}.`,
    );
  }
  const groups = options.groups ?? 1;
  if (!Number.isSafeInteger(groups) || groups < 1 || numKeyValueHeads % groups !== 0) {
    throw new RangeError(
      `planConversion: groups must divide the ${numKeyValueHeads} KV heads, got ${groups}.`,
    );
  }
  if (groups > 1 && factor !== 'joint') {
    throw new RangeError(`planConversion: groups need factor joint, got ${factor}.`);
  }
  const choosesByAttention = strategy === 'mkl' && options.ranks === undefined;
  const unrotate = options.unrotate ?? (choosesByAttention ? 'fitted' : 'plain');
  const seesActivations = init === 'activations' && factor !== 'none';
  return {
    strategy,
    ropeDim,
    uniformStart: options.uniformStart ?? 0,
    ranks: options.ranks,
    unrotate,
    rank,
    factor,
    init,
    decouple: options.decouple ?? true,
    groups,
    propagate: options.propagate ?? 'converted',
    dtype: options.dtype,
    latentWidth: (factor === 'split' ? 2 : 1) * rank * numKeyValueHeads,
    needsAttention: choosesByAttention || unrotate === 'fitted',
    needsCalibration: seesActivations || choosesByAttention || unrotate === 'fitted',
  };
}

/** The rank beyond which a latent is wider than what it factors. */
function widestRank(factor: ConversionPlan['factor'], headDim: number, ropeDim: number): number {
  const nope = headDim - ropeDim;
  if (factor === 'key' || factor === 'split') return nope;
  return factor === 'value' ? headDim : nope + headDim;
}
