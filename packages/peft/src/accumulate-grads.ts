/**
 * Gradients of a large batch from small ones: sum_i w_i g_i / sum_i w_i. With w_i the number of
 * answer tokens of micro-batch i this is the gradient of the mean over all tokens, as if the
 * batch had been run at once.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { TrainableParameter } from './trainable-parameter';
import { type ValueAndGrads, type ValueAndGradsOptions, valueAndGrads } from './value-and-grads';

/** A part of a batch, and how much of the loss is its own. */
export interface MicroBatch {
  /** The loss of this micro-batch, a mean over its tokens. */
  lossFn: () => tf.Scalar;
  /** Its share, such as its number of answer tokens; above 0. Default 1. */
  weight?: number;
}

/**
 * Differentiate the weighted mean of several losses, one after the other.
 * @returns value and gradients of the whole; the caller disposes them.
 * @throws RangeError if there is no micro-batch or a weight is not above 0.
 */
export function accumulateGrads(
  microBatches: readonly MicroBatch[],
  parameters: readonly TrainableParameter[],
  options: ValueAndGradsOptions = {},
): ValueAndGrads {
  const weights = microBatches.map(({ weight = 1 }) => weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (microBatches.length === 0 || !weights.every((weight) => weight > 0 && weight < Infinity)) {
    throw new RangeError(
      `accumulateGrads: at least one micro-batch, each of a weight above 0, got weights=[${weights}].`,
    );
  }
  let sum: ValueAndGrads | undefined;
  microBatches.forEach(({ lossFn }, i) => {
    const next = valueAndGrads(lossFn, parameters, options);
    const share = weights[i]! / total;
    const before = sum;
    sum = tf.tidy(() => addScaled(before, next, share)) as unknown as ValueAndGrads;
    tf.dispose([next.value, next.grads, before?.value, before?.grads] as tf.TensorContainer);
  });
  return sum!;
}

function addScaled(sum: ValueAndGrads | undefined, next: ValueAndGrads, share: number) {
  const value = tf.mul(next.value, share);
  const grads: tf.NamedTensorMap = {};
  for (const name of new Set([...Object.keys(sum?.grads ?? {}), ...Object.keys(next.grads)])) {
    const before = sum?.grads[name];
    const scaled = next.grads[name] && tf.mul(next.grads[name], share);
    grads[name] = before && scaled ? tf.add(before, scaled) : tf.clone((scaled ?? before)!);
  }
  // tf.tidy keeps what is reachable from the object that it returns.
  return { value: sum ? tf.add(sum.value, value) : value, grads } as unknown as tf.TensorContainer;
}
