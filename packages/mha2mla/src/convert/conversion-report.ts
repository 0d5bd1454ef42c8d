/** What a conversion did, for people and for `report.json`. */
import { cacheBytesPerToken, type DecoderConfig } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { Spending } from '../spend/choose-spending';
import type { ConversionPlan } from './convert-options';
import type { FactorReport } from './factor-attention';
import { plannedCacheBytes } from './planned-cache-bytes';

/** What was chosen in a layer, and the error of its factors. */
export interface LayerReport {
  layer: number;
  vision?: FactorReport;
  text?: FactorReport;
  /** Per KV head, the pairs that keep their rotation. */
  ropePairs: number[][];
  /** Per KV head, the scores of all its pairs, where these were chosen by scores; the highest first. */
  pairScores?: number[][];
}

/** What a conversion did and predicts, as `report.json` holds it. */
export interface ConversionReport {
  family: string;
  options: Record<string, unknown>;
  /** Of a head; half of it are rotary pairs. */
  headDim: number;
  layers: LayerReport[];
  /** Pairs that turn with time, height and width, in this order, where the model has M-RoPE. */
  mropeSection?: readonly number[];
  /** Bytes a token over all layers, half vision and half text, as the cache is stored. */
  cacheBytesPerToken: { original: number; converted: number };
  /** What a search for rank or bits has found. */
  spending?: Spending;
}

export function buildReport(
  config: DecoderConfig,
  source: VlmSource,
  plan: ConversionPlan,
  layers: readonly LayerReport[],
): ConversionReport {
  const { ranks, rank, latentRanks, needsAttention, needsCalibration, ...options } = plan;
  const { vision, text } = plannedCacheBytes(config, plan);
  const { latentSpecs: _, ...cache } = plan.cache; // the config has widths, the checkpoint scales
  return {
    family: source.family.name,
    options: {
      ...options,
      cache,
      ranks: ranks ? 'given' : undefined,
      ...(rank === undefined ? { latentRanks } : { rank }),
    },
    headDim: config.headDim,
    layers: layers.map(({ layer, vision, text, ropePairs, pairScores }) => ({
      layer,
      vision,
      text,
      ropePairs,
      pairScores,
    })),
    mropeSection: config.mropeSection,
    cacheBytesPerToken: {
      original: cacheBytesPerToken(config, source.weights).text,
      converted: (vision + text) / 2,
    },
  };
}
