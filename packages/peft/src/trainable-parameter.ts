import type * as tf from '@tensorflow/tfjs-core';

/**
 * A variable with the name that it has in a checkpoint. Gradients and optimizer states are keyed by
 * this name, not by the variable's own, which the engine makes unique.
 */
export interface TrainableParameter {
  readonly name: string;
  readonly variable: tf.Variable;
}
