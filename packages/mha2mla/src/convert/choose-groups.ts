/** Into how many latents the KV heads of a conversion are cut. */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan, ConvertOptions } from './convert-options';

/**
 * Multiplications of absorbed decode to the original's, a head and cached token, beyond which a
 * processor was seen to take more than 1.2 times the original's time (decision 6).
 */
const MOST_PRODUCTS = 3.5;
/** Share of the original's values below which groups of heads were seen to lose answers (decision 6). */
const LEAST_CACHED = 0.25;

/**
 * Numbers of groups that a plan may have, the first that does being taken: those that are asked for, or
 * with `auto` each that divides the KV heads. Where a latent cannot be cut, or ranks are searched for, 1.
 */
export function groupChoices(
  { numKeyValueHeads }: DecoderConfig,
  { groups = 'auto', layout, spend }: ConvertOptions,
  factor: ConversionPlan['factor'],
): readonly number[] {
  if (groups !== 'auto') return [checkGroups(groups, numKeyValueHeads, factor)];
  if (factor !== 'joint' || layout === 'reference' || spend === 'auto') return [1];
  return Array.from({ length: numKeyValueHeads }, (_, i) => i + 1).filter(
    (count) => numKeyValueHeads % count === 0,
  );
}

/**
 * Whether a step over the cache costs a processor little more than the original's (each head multiplies
 * with its whole latent twice, for scores and for sums, and with its rotary dims), or more groups would
 * cost answers.
 */
export function isFewEnough(
  { numKeyValueHeads, headDim }: DecoderConfig,
  { groups, ropeDim, latentRanks }: Pick<ConversionPlan, 'groups' | 'ropeDim' | 'latentRanks'>,
): boolean {
  const ranks = [...latentRanks.vision, ...latentRanks.text];
  const rank = ranks.reduce((sum, own) => sum + own, 0) / ranks.length;
  const products = (2 * rank * numKeyValueHeads) / groups + ropeDim;
  const original = 2 * headDim;
  return products <= MOST_PRODUCTS * original || rank + ropeDim < LEAST_CACHED * original;
}

function checkGroups(
  groups: number,
  numKeyValueHeads: number,
  factor: ConversionPlan['factor'],
): number {
  if (!Number.isSafeInteger(groups) || groups < 1 || numKeyValueHeads % groups !== 0) {
    throw new RangeError(
      `planConversion: groups must be auto or divide the ${numKeyValueHeads} KV heads, got ${groups}.`,
    );
  }
  if (groups > 1 && factor !== 'joint') {
    throw new RangeError(`planConversion: groups need factor joint, got ${factor}.`);
  }
  return groups;
}
