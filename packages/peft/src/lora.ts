/**
 * LoRA (Hu et al., arXiv 2106.09685): y = base(x) + s (x A^T) B^T, s = alpha / r, or alpha / sqrt(r)
 * with rsLoRA (arXiv 2312.03732). A [r, in] starts Kaiming-uniform, B [out, r] at zero, so that
 * training starts at the base model. Shapes and names are those of Hugging Face PEFT.
 */
import * as tf from '@tensorflow/tfjs-core';
import { loraDelta } from './lora-delta';
import type { Projection } from './projection';
import type { TrainableParameter } from './trainable-parameter';

export interface LoraOptions {
  /** Rank of the update. */
  r: number;
  /** Numerator of the scale. Default r, a scale of 1. */
  loraAlpha?: number;
  /** Divide alpha by sqrt(r) instead of r. */
  useRslora?: boolean;
  /** Seed of A. */
  seed?: number;
  /** Draw A from N(0, initStd^2) instead of Kaiming-uniform (bound 1 / sqrt(in)). */
  initStd?: number;
  /** Name of the adapted module, put before the names of the parameters. */
  name?: string;
}

export interface LoraProjection extends Projection {
  /** s, what B A is multiplied by. */
  readonly scale: number;
  /** A [r, in] as `<name>.lora_A.weight` and B [out, r] as `<name>.lora_B.weight`. */
  readonly parameters: readonly TrainableParameter[];
  /** W + s (B A)^T [in, out], the same as `weight()`; the caller disposes it. */
  merge(): tf.Tensor2D;
  /** Dispose A and B. The base projection stays the caller's. */
  dispose(): void;
}

/**
 * Put a LoRA adapter around a projection.
 * @param base the frozen projection; read at each call, never disposed.
 * @throws RangeError if r is not a whole number from 1 to min(in, out), or loraAlpha is not finite.
 */
export function lora(base: Projection, options: LoraOptions): LoraProjection {
  const { r, loraAlpha = r, useRslora = false, seed = 0, initStd, name } = options;
  const { inFeatures, outFeatures } = base;
  assertInRange(base, r, loraAlpha);
  const scale = loraAlpha / (useRslora ? Math.sqrt(r) : r);
  const [a, b] = tf.tidy(() => [
    tf.variable(initA(r, inFeatures, seed, initStd)),
    tf.variable(tf.zeros<tf.Rank.R2>([outFeatures, r])),
  ]) as [tf.Variable<tf.Rank.R2>, tf.Variable<tf.Rank.R2>];
  const prefix = name === undefined ? '' : `${name}.`;
  const merge = () =>
    tf.tidy(() => {
      const update = tf.matMul(tf.transpose(a), tf.transpose(b)); // [in, out]
      return tf.add(base.weight(), tf.mul(update, scale)) as tf.Tensor2D;
    });
  return {
    inFeatures,
    outFeatures,
    scale,
    bias: base.bias,
    parameters: [
      { name: `${prefix}lora_A.weight`, variable: a },
      { name: `${prefix}lora_B.weight`, variable: b },
    ],
    apply(x) {
      if (x.rank === 0 || x.shape.at(-1) !== inFeatures) {
        throw new RangeError(`lora.apply: x must be [..., ${inFeatures}], got [${x.shape}].`);
      }
      return tf.tidy(() =>
        mergingPays(x.size / inFeatures, base, r)
          ? mergedApply(x, merge(), base.bias)
          : tf.add(base.apply(x), loraDelta(x, a, b, scale)),
      );
    },
    weight: merge,
    merge,
    dispose: () => tf.dispose([a, b]),
  };
}

function assertInRange(
  { inFeatures, outFeatures }: Projection,
  r: number,
  loraAlpha: number,
): void {
  if (!Number.isInteger(r) || r < 1 || r > Math.min(inFeatures, outFeatures)) {
    throw new RangeError(
      `lora: r must be a whole number from 1 to ${Math.min(inFeatures, outFeatures)}, got r=${r}.`,
    );
  }
  if (!Number.isFinite(loraAlpha)) {
    throw new RangeError(`lora: loraAlpha must be finite, got loraAlpha=${loraAlpha}.`);
  }
}

/**
 * Whether n rows take fewer multiplications, forward and backward, where W + s (B A)^T is made at
 * each call, in * out * (n + 3 r) more than the base, than with the adapter beside the base,
 * 3 n r (in + out) more. So it is for a batch through the narrow maps of a latent.
 */
function mergingPays(rows: number, { inFeatures, outFeatures }: Projection, r: number): boolean {
  return inFeatures * outFeatures * (rows + 3 * r) < 3 * rows * r * (inFeatures + outFeatures);
}

/** x [..., in] times weight [in, out]. */
function mergedApply(x: tf.Tensor, weight: tf.Tensor2D, bias: tf.Tensor1D | undefined): tf.Tensor {
  const rows = tf.reshape(x, [-1, weight.shape[0]]) as tf.Tensor2D; // [n, in]
  const product = tf.matMul(rows, weight); // [n, out]
  const y = bias ? tf.add(product, bias) : product;
  return tf.reshape(y, [...x.shape.slice(0, -1), weight.shape[1]]);
}

/** Kaiming-uniform with a = sqrt(5), as HF: U(-1/sqrt(in), 1/sqrt(in)). */
function initA(
  r: number,
  inFeatures: number,
  seed: number,
  initStd: number | undefined,
): tf.Tensor2D {
  if (initStd !== undefined) {
    // tfjs takes a seed of 0 for none here, and draws other numbers each time.
    const nonZero = seed === 0 ? 0.5 : seed;
    return tf.randomNormal<tf.Rank.R2>([r, inFeatures], 0, initStd, 'float32', nonZero);
  }
  const bound = 1 / Math.sqrt(inFeatures);
  return tf.randomUniform<tf.Rank.R2>([r, inFeatures], -bound, bound, 'float32', seed);
}
