/** What a conversion would cost, before it is done: by layer, and in words where it is alarming. */
import type { LatentRanks } from '../convert/latent-ranks';
import type { KeyBias } from './key-bias';
import type { MomentCondition } from './moment-condition';
import type { SinkTokens } from './sink-tokens';

/** What a conversion would cost, predicted from calibration samples. */
export interface Diagnosis {
  /** Dims a head that would keep their rotation. */
  ropeDim: number;
  /** Latent dims a KV head, by modality and layer. */
  latentRanks: LatentRanks;
  /** Bytes a token over all layers, half vision and half text. */
  cacheBytesPerToken: { original: number; converted: number };
  layers: LayerDiagnosis[];
  alarms: Alarm[];
}

/** What was found in a layer. */
export interface LayerDiagnosis {
  layer: number;
  vision?: ModalityDiagnosis;
  text?: ModalityDiagnosis;
  /** Absent where the choice of pairs needs no look at the attention. */
  sink?: SinkTokens;
  /** Absent where keys have no bias. */
  keyBias?: KeyBias;
}

/** What the latent of one modality would drop in a layer. */
export interface ModalityDiagnosis {
  /** Latent dims a KV head. */
  rank: number;
  /** Share of the energy of keys and values that the latent would drop. */
  tailEnergy: number;
  /** Predicted error of what comes out of the latent, relative: the square root of that share. */
  relativeError: number;
  /** Calibration tokens that were seen. */
  tokens: number;
  usedFallback: boolean;
  /** Of the second moment of the inputs; absent without tokens. */
  moment?: MomentCondition;
}

/** A finding that is likely to cost accuracy. */
export interface Alarm {
  kind: 'tail' | 'tokens' | 'condition' | 'sink' | 'keyBias';
  layer: number;
  modality?: 'vision' | 'text';
  /** What is wrong and what to do. */
  message: string;
}
