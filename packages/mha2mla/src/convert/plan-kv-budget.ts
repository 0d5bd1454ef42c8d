/** What a share of the original cache's bytes buys: rotary dims, and the one rank that then fits. */
import { cacheBytesPerToken, type DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from './convert-options';
import { uniformRanks } from './latent-ranks';
import { plannedCacheBytes } from './planned-cache-bytes';
import { widestRank } from './widest-rank';

/** A byte more than the budget would buy is never spent; a budget like 0.29 of 100 bytes is 29. */
const ROUNDING = 1 + 1e-12;

export type BudgetedForm = Pick<ConversionPlan, 'factor' | 'groups' | 'decouple' | 'cache'>;

/** Bytes a token of the original's cache, in 16 bits. */
export function originalBytes(config: DecoderConfig): number {
  return cacheBytesPerToken(config, { shape: () => undefined }).text;
}

/** Bytes a token that a budget allows over all layers, half vision and half text. */
export function budgetBytes(config: DecoderConfig, kvBudget: number): number {
  return originalBytes(config) * kvBudget * ROUNDING;
}

/**
 * @param ropeDims what may keep its rotation, dims a head: the first that leaves room is taken.
 * @param limitRope whether rotary keys may take no more than half of the bytes.
 * @throws RangeError with the smallest budget that would do.
 */
export function planKvBudget(
  config: DecoderConfig,
  form: BudgetedForm,
  kvBudget: number,
  { ropeDims, limitRope }: { ropeDims: readonly number[]; limitRope: boolean },
): { ropeDim: number; rank: number } {
  if (!(kvBudget > 0 && kvBudget <= 1)) {
    throw new RangeError(
      `planConversion: kvBudget must be a share of the original cache's bytes, above 0 and at most 1, got ${kvBudget}.`,
    );
  }
  const budget = budgetBytes(config, kvBudget);
  const least = ropeDims.map((ropeDim) => leastBytes(config, { ...form, ropeDim }, limitRope));
  const found = least.findIndex((bytes) => bytes <= budget);
  if (found < 0) {
    // Rounded up, so that the figure works.
    const share = Math.ceil((1e4 * Math.min(...least)) / budgetBytes(config, 1)) / 1e4;
    throw new RangeError(
      `planConversion: kvBudget must leave a rank beside the rotary keys, got ${kvBudget}. The smallest that works here is ${share}.`,
    );
  }
  const ropeDim = ropeDims[found]!;
  return { ropeDim, rank: highestThatFits(config, { ...form, ropeDim }, budget) };
}

type RotaryForm = BudgetedForm & Pick<ConversionPlan, 'ropeDim'>;

/** Bytes a token with which rotary dims leave room for a rank, and take half at most if limited. */
function leastBytes(config: DecoderConfig, form: RotaryForm, limitRope: boolean): number {
  const latent = bytesOfRank(config, form, 1);
  const rope = latent - bytesOfRank(config, { ...form, ropeDim: 0 }, 1);
  return limitRope ? Math.max(latent, 2 * rope) : latent;
}

/** The highest one rank whose bytes a token a budget holds, at least 1. */
export function highestThatFits(config: DecoderConfig, form: RotaryForm, budget: number): number {
  let rank = widestRank(config, form);
  while (rank > 1 && bytesOfRank(config, form, rank) > budget) rank--;
  return rank;
}

/** Bytes a token of a conversion with one rank. */
export function bytesOfRank(config: DecoderConfig, form: RotaryForm, rank: number): number {
  const latentRanks = uniformRanks(rank, config.numHiddenLayers);
  const { vision, text } = plannedCacheBytes(config, { ...form, latentRanks });
  return (vision + text) / 2;
}
