/**
 * A family of vision-language models, as a value that is handed to the loader. It holds what
 * differs between families: config, tensor names, positions, vision encoder and processor. The
 * language model is the one decoder of `mla-runtime`.
 */
import type { FileStore, ModelConfig } from '@mha2mla/checkpoint';
import type { DecoderConfig, Projection, WeightReader } from '@mha2mla/mla-runtime';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { MediaInputs, ModelInputs, Processor } from './model-inputs';
import type { EncodeSteps } from './vision/encode-steps';

/** What all families say of a model. */
export interface VlmConfig {
  readonly decoder: DecoderConfig;
  /** Ids whose tokens count as vision. */
  readonly visionTokenIds: readonly number[];
  /** The id that image features replace. */
  readonly imageTokenId: number;
  /** The id that video features replace, in families that take videos. */
  readonly videoTokenId?: number | undefined;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | undefined;
  readonly source: ModelConfig;
}

/** Options of `VisionEncoder.encode`. */
export interface EncodeOptions {
  /** Called with intermediates by the names of `trace`; valid during the call. */
  observe?: (name: string, tensor: Tensor) => void;
}

/** Features of all pictures, and of all videos, [tokens, D] each, in the order of their tokens. */
export type VisionFeatures = {
  images?: Tensor2D;
  videos?: Tensor2D;
};

/** The vision tower and projector of a family, with their weights. */
export interface VisionEncoder {
  /** Encode what `inputs` has; the caller disposes the features. */
  encode(inputs: MediaInputs, options?: EncodeOptions): VisionFeatures;
  /** The same with pauses, in which it can be given up. Default: `encode`, without any. */
  encodeSteps?(inputs: MediaInputs, options?: EncodeOptions): EncodeSteps<VisionFeatures>;
  /**
   * Its linear maps by our names, read at each call: an entry can be replaced, such as by an adapter
   * around it. `dispose` disposes those that stand here. Default: none that could be adapted.
   */
  readonly projections?: Map<string, Projection>;
  /** Frees its weights. */
  dispose(): void;
}

/** Rotary positions of a batch, and of what follows it. */
export interface Positions {
  /** [B * L], or [3 * B * L] for M-RoPE; 1 at padding. */
  positionIds: Int32Array;
  /** Position of each row's first new token, [B] or [3 * B]. */
  nextPositions: Int32Array;
  /** [B], M-RoPE only: what is added to an index in the padded row to get the position behind it. */
  ropeDeltas?: Int32Array;
}

/** All that tells a family of models from others. */
export interface VlmFamily {
  readonly name: string;
  /** `model_type` values of config.json that this family loads. */
  readonly modelTypes: readonly string[];
  /** Reads a config.json, unchecked until then. */
  parseConfig(config: ModelConfig): VlmConfig;
  /** Names under which checkpoints store one of our weight names, the published one first. */
  storedNames(name: string): readonly string[];
  /** The vision encoder's weights by our names, biases included. */
  visionTensors(config: VlmConfig): readonly string[];
  /** Loads the vision tower; the caller disposes it. */
  loadVision(config: VlmConfig, weights: WeightReader): Promise<VisionEncoder>;
  /** Makes what turns conversations into inputs, of the files beside the weights. */
  loadProcessor(config: VlmConfig, store: FileStore): Promise<Processor>;
  /** Positions of inputs, pictures and videos among them. */
  positions(config: VlmConfig, inputs: ModelInputs): Positions;
}
