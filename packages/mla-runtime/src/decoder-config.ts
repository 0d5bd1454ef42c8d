/**
 * What the decoder needs to know of a language model. The families' configs are mapped to this;
 * names follow Hugging Face's, in camelCase.
 */
import type { RopePairs } from '@mha2mla/partial-rope';

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
  tieWordEmbeddings: boolean;
  /** Present once the attention has been converted. */
  mla?: MlaConfig;
}

export interface MlaConfig {
  /** Per layer and KV head, the rotary pairs (i, i + headDim / 2) that keep their rotation. */
  ropePairs: readonly RopePairs[];
  /** Groups of KV heads that have a latent each; 1 is the joint latent. */
  groups: number;
}

/** Check the divisors and bounds that the code below relies on. @throws RangeError */
export function checkDecoderConfig(config: DecoderConfig): void {
  const { hiddenSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const positive = { hiddenSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads, headDim };
  for (const [name, value] of Object.entries(positive)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`checkDecoderConfig: ${name} must be a positive integer, got ${value}.`);
    }
  }
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new RangeError(
      `checkDecoderConfig: numAttentionHeads must be a multiple of numKeyValueHeads, got ${numAttentionHeads} and ${numKeyValueHeads}.`,
    );
  }
  if (headDim % 2 !== 0) {
    throw new RangeError(`checkDecoderConfig: headDim must be even, got ${headDim}.`);
  }
  const { mla, mropeSection } = config;
  if (mropeSection && mropeSection.reduce((a, b) => a + b, 0) !== headDim / 2) {
    throw new RangeError(
      `checkDecoderConfig: mropeSection must sum to headDim / 2 = ${headDim / 2}, got [${mropeSection}].`,
    );
  }
  if (!mla) return;
  if (mla.ropePairs.length !== numHiddenLayers) {
    throw new RangeError(
      `checkDecoderConfig: mla.ropePairs must have one entry a layer (${numHiddenLayers}), got ${mla.ropePairs.length}.`,
    );
  }
  if (!(mla.groups >= 1) || numKeyValueHeads % mla.groups !== 0) {
    throw new RangeError(
      `checkDecoderConfig: mla.groups must divide numKeyValueHeads (${numKeyValueHeads}), got ${mla.groups}.`,
    );
  }
}
