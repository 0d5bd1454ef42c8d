/** What a conversion did, for people and for `report.json`. */
import { cacheBytesPerToken, type DecoderConfig, type WeightReader } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ConversionPlan } from './convert-options';
import type { FactorReport } from './factor-attention';

export interface LayerReport {
  layer: number;
  vision?: FactorReport;
  text?: FactorReport;
  /** Per KV head, the pairs that keep their rotation. */
  ropePairs: number[][];
}

export interface ConversionReport {
  family: string;
  options: Record<string, unknown>;
  layers: LayerReport[];
  /** Bytes a token over all layers, half vision and half text, as the cache is stored. */
  cacheBytesPerToken: { original: number; converted: number };
}

export function buildReport(
  config: DecoderConfig,
  source: VlmSource,
  plan: ConversionPlan,
  layers: readonly LayerReport[],
): ConversionReport {
  const { ranks, needsAttention, needsCalibration, ...options } = plan;
  return {
    family: source.family.name,
    options: { ...options, ranks: ranks ? 'given' : undefined },
    layers: layers.map(({ layer, vision, text, ropePairs }) => ({
      layer,
      vision,
      text,
      ropePairs,
    })),
    cacheBytesPerToken: {
      original: cacheBytesPerToken(config, source.weights).text,
      converted: convertedBytes(config, plan),
    },
  };
}

/** Bytes a token, half vision and half text, in the stored format, before anything is written. */
export function convertedBytes(config: DecoderConfig, plan: ConversionPlan): number {
  const { numKeyValueHeads, headDim, hiddenSize, numHiddenLayers } = config;
  const pairs = Int32Array.from({ length: plan.ropeDim / 2 }, (_, i) => i);
  const layer = Array.from({ length: numKeyValueHeads }, () => pairs);
  const ropePairs = Array.from({ length: numHiddenLayers }, () => layer);
  const rank = plan.rank * numKeyValueHeads;
  const keyWidth = numKeyValueHeads * (headDim - plan.ropeDim);
  const shapes: Record<ConversionPlan['factor'], Record<string, number[]>> = {
    none: {},
    joint: { down_kv: [rank, hiddenSize] },
    split: { down_k: [rank, hiddenSize], down_v: [rank, hiddenSize] },
    key: { down_k: [rank, hiddenSize], up_v: [numKeyValueHeads * headDim, hiddenSize] },
    value: { down_v: [rank, hiddenSize], up_k: [keyWidth, hiddenSize] },
  };
  const folder = plan.decouple ? 'kv_proj_(?:img|text)' : 'kv_proj';
  const part = new RegExp(`\\.${folder}\\.(\\w+)\\.weight$`);
  const shape: WeightReader['shape'] = (name) => shapes[plan.factor][part.exec(name)?.[1] ?? ''];
  const converted = { ...config, mla: { ropePairs, groups: plan.groups } };
  const { vision, text } = cacheBytesPerToken(converted, { shape }, plan.cache);
  return (vision + text) / 2;
}
