/** What each way to spend a budget is predicted to change: the parts of all layers, added up. */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from '../convert/convert-options';
import {
  budgetBytes,
  bytesOfRank,
  highestThatFits,
  originalBytes,
} from '../convert/plan-kv-budget';
import { widestRank } from '../convert/widest-rank';
import { type CacheForm, cacheForms } from './cache-forms';
import { errorAt } from './error-curve';
import type { LayerErrors } from './layer-errors';

/** A way to spend a budget: what `--kv-bits`, `--rope-bits`, `--rope-dim` and `--rank` would say. */
export interface Candidate extends CacheForm {
  ropeDim: number;
  rank: number;
  /** With one rank for all, half of the tokens vision and half text. */
  bytesPerToken: number;
  /** The budget that buys it. */
  kvBudget: number;
}

export interface Prediction extends Candidate {
  /** Change of the residual stream by the attention, relative to it, summed over layers. */
  predictedError: number;
}

/**
 * The widest that a budget allows of each form and number of rotary dims, however much of it these
 * take: predictions know what they are worth.
 */
export function candidatesOf(
  config: DecoderConfig,
  plan: ConversionPlan,
  { kvBudget, ropeDims }: { kvBudget: number; ropeDims: readonly number[] },
): Candidate[] {
  // All layers are alike: a search is of one setting for all.
  const layer = { ...config, numHiddenLayers: 1 };
  const budget = budgetBytes(layer, kvBudget);
  return cacheForms(plan.cache).flatMap((bits) =>
    ropeDims.flatMap((ropeDim): Candidate[] => {
      const form = { ...plan, ropeDim, cache: { ...plan.cache, ...bits } };
      if (widestRank(config, form) < 1 || bytesOfRank(layer, form, 1) > budget) return [];
      const rank = highestThatFits(layer, form, budget);
      const bytesPerToken = config.numHiddenLayers * bytesOfRank(layer, form, rank);
      return [{ ...bits, ropeDim, rank, bytesPerToken, kvBudget }];
    }),
  );
}

/**
 * Predict what candidates change, each at its rank or at the lower one that changes least: in few
 * bits a further dim may add more noise than it holds.
 * @returns the best first.
 */
export function predictCandidates(
  config: DecoderConfig,
  plan: ConversionPlan,
  candidates: readonly Candidate[],
  layers: readonly LayerErrors[],
): Prediction[] {
  const predicted = candidates.map((candidate): Prediction => {
    const { kvBits, ropeBits, ropeDim } = candidate;
    const form = { ...plan, ropeDim, cache: { ...plan.cache, kvBits, ropeBits } };
    const layer = { ...config, numHiddenLayers: 1 };
    let best: Prediction | undefined;
    for (let { rank } = candidate, above = Number.POSITIVE_INFINITY; rank >= 1; rank--) {
      const bytesPerToken = config.numHiddenLayers * bytesOfRank(layer, form, rank);
      // Of ranks that fill up the same words, the bytes buy the highest.
      if (bytesPerToken < above) {
        const error = predictedError(layers, { ...candidate, rank });
        if (!best || error < best.predictedError) {
          best = { ...candidate, rank, bytesPerToken, predictedError: error };
        }
      }
      above = bytesPerToken;
    }
    if (best!.rank === candidate.rank) return best!;
    return { ...best!, kvBudget: best!.bytesPerToken / originalBytes(config) };
  });
  return predicted.sort(
    (a, b) => a.predictedError - b.predictedError || a.bytesPerToken - b.bytesPerToken,
  );
}

/** Σ over layers of what the parts change, over the size of the stream. */
export function predictedError(
  layers: readonly LayerErrors[],
  { kvBits, ropeBits, ropeDim, rank }: Omit<Candidate, 'bytesPerToken' | 'kvBudget'>,
): number {
  return layers.reduce((sum, { residual, shares, byRopeDim }) => {
    if (!(residual > 0)) return sum;
    const { ranks, latents, rotary } = byRopeDim[ropeDim]!;
    const { vision, text } = rotary[ropeBits]!;
    const ofKeys = shares.vision * vision + shares.text * text;
    return sum + (errorAt({ ranks, errors: latents[kvBits]! }, rank) + ofKeys) / residual;
  }, 0);
}
