/** What the report knows of a run, after its files have been checked. */
import type { BytesSeries, DrawAgainstBytesOptions } from './draw-against-bytes';

export interface RunData {
  name: string;
  cost?: CostData;
  conversion?: ConversionData;
  /** The run whose conversion was healed, where that is drawn already. */
  convertedAs?: string;
  /** Loss of each update of a healing. */
  losses?: number[];
  /** Loss of pictures held out, after every 25 updates and at the end. */
  heldOut?: number[];
  /** Trained numbers, as a share of the layers' weights. */
  trainableShare?: number;
  evaluations: EvaluationData[];
  plots: PlotData[];
}

/** Of `cost.json`. */
export interface CostData {
  seconds: number;
  resumed: boolean;
  peakMemoryBytes: number;
  sizeBytes: number;
}

export interface ConversionData {
  family: string;
  /** Options by name, as they are shown. */
  options: [name: string, value: string][];
  layers: LayerData[];
  cacheBytesPerToken: { original: number; converted: number };
  /** Rotary pairs a head. */
  pairs: number;
  /** Pairs of each axis of M-RoPE (time, height, width). */
  mropeSection?: number[];
}

export interface LayerData {
  layer: number;
  /** Per KV head, the pairs that keep their rotation, ascending. */
  ropePairs: number[][];
  /** Per KV head, what each pair scored. */
  pairScores?: number[][];
  vision?: FactorData;
  text?: FactorData;
}

export interface FactorData {
  relativeError: number;
  retainedEnergy: number;
  /** Latent dims a KV head that were chosen. */
  rank?: number;
  /** Share of the energy that a latent of so many dims a KV head drops. */
  spectrum?: { ranks: number[]; tail: number[] };
}

export interface EvaluationData {
  name: string;
  questions: number;
  accuracy: number;
  accuracyByKind?: [kind: string, accuracy: number][];
  nll?: number;
  cacheBytesPerToken?: number;
}

export interface PlotData {
  series: BytesSeries[];
  /** What to look at. */
  caption?: string;
  options: DrawAgainstBytesOptions;
}

export const MODALITIES = ['vision', 'text'] as const;
