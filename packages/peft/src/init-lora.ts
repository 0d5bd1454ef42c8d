/** Where the weights of an adapter start, as `init_lora_weights` of Hugging Face PEFT has it. */
import * as tf from '@tensorflow/tfjs-core';

/** Given weights of an adapter; copied, the tensors stay the caller's. */
export interface LoraWeights {
  /** A [r, in]. */
  loraA: tf.Tensor2D;
  /** B [out, r]. */
  loraB: tf.Tensor2D;
  /** m [out], with DoRA only. Default: the norms of W + s (B A)^T. */
  magnitude?: tf.Tensor1D;
}

/**
 * `true`: A Kaiming-uniform, U(-1/sqrt(in), 1/sqrt(in)), and B zero, the base model. `'gaussian'`:
 * A from N(0, 1/r^2), B zero. `false`: B uniform too, U(-1/sqrt(r), 1/sqrt(r)), so that the adapter
 * changes the model from the start. Or given weights: those of a file, or the principal part of W.
 */
export type InitLoraWeights = boolean | 'gaussian' | LoraWeights;

export interface InitLoraOptions {
  r: number;
  seed: number;
  /** Draw A from N(0, initStd^2). */
  initStd?: number | undefined;
  initLoraWeights: InitLoraWeights;
}

/**
 * A [r, in] and B [out, r]; the caller disposes them.
 * @throws RangeError for given weights of other shapes, or an unknown word.
 */
export function initLora(
  [inFeatures, outFeatures]: readonly [number, number],
  { r, seed, initStd, initLoraWeights: init }: InitLoraOptions,
): [tf.Tensor2D, tf.Tensor2D] {
  if (typeof init === 'object') {
    assertShape('loraA', init.loraA, [r, inFeatures]);
    assertShape('loraB', init.loraB, [outFeatures, r]);
    return [tf.clone(init.loraA), tf.clone(init.loraB)];
  }
  if (typeof init !== 'boolean' && init !== 'gaussian') {
    throw new RangeError(
      `lora: initLoraWeights must be true, false, gaussian or given weights, got ${init}. For PiSSA or OLoRA give A, B and a base without their product.`,
    );
  }
  const std = initStd ?? (init === 'gaussian' ? 1 / r : undefined);
  const a = std === undefined ? uniform([r, inFeatures], seed) : normal([r, inFeatures], std, seed);
  return [a, init === false ? uniform([outFeatures, r], `${seed}.B`) : tf.zeros([outFeatures, r])];
}

/** @throws RangeError in the name of `lora`. */
export function assertShape(name: string, tensor: tf.Tensor, shape: readonly number[]): void {
  if (tf.util.arraysEqual(tensor.shape, [...shape])) return;
  throw new RangeError(`lora: ${name} must be [${shape}], got [${tensor.shape}].`);
}

/** Kaiming-uniform with a = sqrt(5), as HF: the bound is 1 / sqrt(columns). */
function uniform(shape: [number, number], seed: number | string): tf.Tensor2D {
  const bound = 1 / Math.sqrt(shape[1]);
  return tf.randomUniform<tf.Rank.R2>(shape, -bound, bound, 'float32', seed);
}

function normal(shape: [number, number], std: number, seed: number): tf.Tensor2D {
  // tfjs takes a seed of 0 for none here, and draws other numbers each time.
  return tf.randomNormal<tf.Rank.R2>(shape, 0, std, 'float32', seed === 0 ? 0.5 : seed);
}
