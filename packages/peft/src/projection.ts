import type * as tf from '@tensorflow/tfjs-core';
import type { TrainableParameter } from './trainable-parameter';

/** A linear map y = x W + bias as a value: dense, quantized, or adapted. Typed by its structure. */
export interface Projection {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** x [..., inFeatures] -> [..., outFeatures], bias included; the caller disposes the result. */
  apply(x: tf.Tensor): tf.Tensor;
  /** The dense W [inFeatures, outFeatures]; the caller disposes it. */
  weight(): tf.Tensor2D;
  /** [outFeatures], owned by the projection. */
  readonly bias?: tf.Tensor1D;
  /** What of it is trained; absent where it is frozen. */
  readonly parameters?: readonly TrainableParameter[] | undefined;
  /** Frees the weight and the bias. */
  dispose(): void;
}
