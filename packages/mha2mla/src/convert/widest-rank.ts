import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from './convert-options';

/** The rank beyond which a latent is wider than what it factors, or than the model. */
export function widestRank(
  { headDim, hiddenSize, numKeyValueHeads }: DecoderConfig,
  { factor, ropeDim, groups }: Pick<ConversionPlan, 'factor' | 'ropeDim' | 'groups'>,
): number {
  const nope = headDim - ropeDim;
  const rows = { key: nope, split: nope, value: headDim, joint: nope + headDim, none: 0 }[factor];
  return Math.min(rows, Math.floor((hiddenSize * groups) / numKeyValueHeads));
}
