import { describe, expect, test } from 'vitest';
import { planConversion } from '../convert/plan-conversion';
import { budgetBytes, bytesOfRank } from '../convert/plan-kv-budget';
import { openTinyLlava } from '../convert/tiny-llava';
import { ranksToMeasure } from './error-curve';
import type { LayerErrors } from './layer-errors';
import { candidatesOf, predictCandidates } from './predict-candidates';
import { ropeDimsToTry } from './rope-dims';

const { decoder } = (await openTinyLlava()).config;
const config = { ...decoder, headDim: 64, hiddenSize: 512 };
const plan = planConversion(config, { kvBudget: 0.25, spend: 'auto' });
const ropeDims = ropeDimsToTry(config, {});

/** Errors that fall with rank and rise with fewer bits, beyond some rank by more than a rank holds. */
function layerOf(seed: number): LayerErrors {
  const ofRopeDim = (ropeDim: number): LayerErrors['byRopeDim'][number] => {
    const ranks = ranksToMeasure(128, 128 - ropeDim);
    const latents = (bits: number) =>
      ranks.map((rank) => seed / ropeDim + 4 / rank + (rank * seed) / 4 ** bits);
    const rotary = (bits: number) => ({ vision: ropeDim / 4 ** bits, text: 1 / 4 ** bits });
    return {
      ranks,
      latents: Object.fromEntries([16, 8, 4, 3, 2].map((bits) => [bits, latents(bits)])),
      rotary: Object.fromEntries([16, 8, 4].map((bits) => [bits, rotary(bits)])),
    };
  };
  const byRopeDim = Object.fromEntries(ropeDims.map((dims) => [dims, ofRopeDim(dims)]));
  return { residual: 2 * seed, shares: { vision: 0.2, text: 0.1 }, byRopeDim };
}

const layers = [layerOf(1), layerOf(3)];

describe('candidates of a budget', () => {
  const found = (kvBudget: number) => {
    const candidates = candidatesOf(config, plan, { kvBudget, ropeDims });
    return predictCandidates(config, plan, candidates, layers);
  };

  test('take no more bytes than it, and a rank more would', () => {
    const kvBudget = 0.17;
    const candidates = candidatesOf(config, plan, { kvBudget, ropeDims });
    expect(new Set(candidates.map(({ kvBits, ropeBits }) => `${kvBits} ${ropeBits}`)).size).toBe(
      15,
    );
    for (const { rank, ropeDim, bytesPerToken, kvBits, ropeBits } of candidates) {
      const form = { ...plan, ropeDim, cache: { kvBits, ropeBits } };
      expect(bytesPerToken).toBe(bytesOfRank(config, form, rank));
      expect(bytesPerToken).toBeLessThanOrEqual(budgetBytes(config, kvBudget));
      if (rank === 128 - ropeDim) continue;
      expect(bytesOfRank(config, form, rank + 1)).toBeGreaterThan(budgetBytes(config, kvBudget));
    }
  });

  test('more bytes are never predicted to change more', () => {
    let before = Number.POSITIVE_INFINITY;
    for (const kvBudget of [0.04, 0.05, 0.06, 0.07, 0.09, 0.12, 0.125, 0.13, 0.2, 0.25, 0.5, 1]) {
      const [best] = found(kvBudget);
      expect(best!.predictedError).toBeLessThanOrEqual(before);
      before = best!.predictedError;
    }
  });

  test('leave a dim out that adds more noise than it holds, and the budget they name buys the rest', () => {
    const lower = found(0.5).filter(({ kvBudget }) => kvBudget < 0.5);
    expect(lower.length).toBeGreaterThan(0);
    for (const { kvBudget, ropeDim, rank, kvBits, ropeBits } of lower) {
      const cache = { kvBits, ropeBits };
      expect(planConversion(config, { kvBudget, ropeDim, cache })).toMatchObject({ ropeDim, rank });
    }
  });
});
