/**
 * What the decoder needs to know of a language model. The families' configs are mapped to this;
 * names follow Hugging Face's, in camelCase.
 */
import type { RopePairs } from '@mha2mla/partial-rope';

/** Sizes and constants of a decoder. */
export interface DecoderConfig {
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  rmsNormEps: number;
  vocabSize: number;
  ropeTheta: number;
  /** Pairs per axis (time, height, width) of M-RoPE; absent for plain RoPE. */
  mropeSection?: readonly number[];
  /** Rotary frequencies of the pairs, [headDim / 2]; default those of `ropeTheta`. */
  frequencies?: ArrayLike<number>;
  tieWordEmbeddings: boolean;
  /** Present once the attention has been converted. */
  mla?: MlaConfig;
}

/** What tells a converted decoder from an original one. */
export interface MlaConfig {
  /** Per layer and KV head, the rotary pairs (i, i + headDim / 2) that keep their rotation. */
  ropePairs: readonly RopePairs[];
  /** Groups of KV heads that have a latent each; 1 is the joint latent. */
  groups: number;
}

/** Check the divisors and bounds that the code below relies on. @throws RangeError */
export function checkDecoderConfig(config: DecoderConfig): void {
  for (const name of POSITIVE_INTEGERS) {
    const value = config[name];
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`checkDecoderConfig: ${name} must be a positive integer, got ${value}.`);
    }
  }
  for (const name of ['rmsNormEps', 'ropeTheta'] as const) {
    if (!(config[name] > 0 && config[name] < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`checkDecoderConfig: ${name} must be positive, got ${config[name]}.`);
    }
  }
  const { numAttentionHeads, numKeyValueHeads, headDim, mla, mropeSection } = config;
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `checkDecoderConfig: numAttentionHeads must be a multiple of numKeyValueHeads, got ${numAttentionHeads} and ${numKeyValueHeads}.`,
    );
  }
  if (headDim % 2 !== 0) {
    throw new RangeError(`checkDecoderConfig: headDim must be even, got ${headDim}.`);
  }
  if (mropeSection) checkMropeSection(mropeSection, headDim / 2);
  if (config.frequencies) checkFrequencies(config.frequencies, headDim / 2);
  if (mla) checkMla(mla, config);
}

function checkFrequencies(frequencies: ArrayLike<number>, pairs: number): void {
  if (frequencies.length === pairs && Array.from(frequencies).every(Number.isFinite)) return;
  throw new RangeError(
    `checkDecoderConfig: frequencies must be headDim / 2 = ${pairs} numbers, got ${frequencies.length}.`,
  );
}

const POSITIVE_INTEGERS = [
  'hiddenSize',
  'intermediateSize',
  'numHiddenLayers',
  'numAttentionHeads',
  'numKeyValueHeads',
  'headDim',
  'vocabSize',
] as const;

function checkMropeSection(section: readonly number[], pairs: number): void {
  const counts = section.every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!counts || section.length !== 3 || section.reduce((a, b) => a + b, 0) !== pairs) {
    throw new RangeError(
      `checkDecoderConfig: mropeSection must be 3 counts that sum to headDim / 2 = ${pairs}, got [${section}].`,
    );
  }
}

function checkMla({ ropePairs, groups }: MlaConfig, config: DecoderConfig): void {
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  if (ropePairs.length !== numHiddenLayers) {
    throw new RangeError(
      `checkDecoderConfig: mla.ropePairs must have one entry a layer (${numHiddenLayers}), got ${ropePairs.length}.`,
    );
  }
  for (const [layer, heads] of ropePairs.entries()) {
    if (heads.length !== numKeyValueHeads) {
      throw new RangeError(
        `checkDecoderConfig: mla.ropePairs[${layer}] must have one list a KV head (${numKeyValueHeads}), got ${heads.length}.`,
      );
    }
    for (const pairs of heads) checkPairs(pairs, heads[0]!.length, headDim / 2, layer);
  }
  if (!Number.isSafeInteger(groups) || groups < 1 || numKeyValueHeads % groups !== 0) {
    throw new RangeError(
      `checkDecoderConfig: mla.groups must divide numKeyValueHeads (${numKeyValueHeads}), got ${groups}.`,
    );
  }
}

function checkPairs(pairs: Int32Array, count: number, limit: number, layer: number): void {
  const ascending = pairs.every((pair, i) => pair > (pairs[i - 1] ?? -1) && pair < limit);
  if (pairs.length !== count || !ascending) {
    throw new RangeError(
      `checkDecoderConfig: mla.ropePairs[${layer}] must be ${count} ascending pairs in [0, ${limit}) for each head, got [${pairs}].`,
    );
  }
}
