/**
 * LoRA (Hu et al., arXiv 2106.09685): y = base(x) + s (x A^T) B^T, s = alpha / r, or alpha / sqrt(r)
 * with rsLoRA (arXiv 2312.03732); with DoRA (arXiv 2402.09353) every output is then scaled to a
 * trained norm, but for its bias. A [r, in], B [out, r] and m [out] start at the base model. Shapes,
 * names and options are those of Hugging Face PEFT.
 */
import * as tf from '@tensorflow/tfjs-core';
import { denseApply } from './dense-apply';
import { doraRatio, outputNorms, scaleOutputs } from './dora-ratio';
import { dropout } from './dropout';
import { assertShape, type InitLoraWeights, initLora } from './init-lora';
import { loraDelta } from './lora-delta';
import { loraMerged, mergedWeight } from './lora-merged';
import type { Projection } from './projection';
import type { TrainableParameter } from './trainable-parameter';

/** Options of `lora`. */
export interface LoraOptions {
  /** Rank of the update. */
  r: number;
  /** Numerator of the scale. Default r, a scale of 1. */
  loraAlpha?: number;
  /** Divide alpha by sqrt(r) instead of r. */
  useRslora?: boolean;
  /** Train the norm of every output apart from its direction. */
  useDora?: boolean;
  /** Share of the adapter's inputs that training leaves out, in [0, 1). Default 0. */
  loraDropout?: number;
  /** Where the weights start. Default true: at the base model, A Kaiming-uniform. */
  initLoraWeights?: InitLoraWeights;
  /** Seed of the weights and of the dropout. */
  seed?: number;
  /** Draw A from N(0, initStd^2) instead of Kaiming-uniform (bound 1 / sqrt(in)). */
  initStd?: number;
  /** Name of the adapted module, put before the names of the parameters. */
  name?: string;
}

export interface LoraProjection extends Projection {
  /** s, what B A is multiplied by. */
  readonly scale: number;
  readonly r: number;
  readonly useDora: boolean;
  /**
   * A [r, in] as `<name>.lora_A.weight`, B [out, r] as `<name>.lora_B.weight` and, with DoRA,
   * m [out] as `<name>.lora_magnitude_vector`.
   */
  readonly parameters: readonly TrainableParameter[];
  /** Switch dropout on, with what it draws for this step: the same step, the same draws. */
  train(step: number): void;
  /** Switch dropout off, as it is at first. */
  eval(): void;
  /** W + s (B A)^T, scaled with DoRA, [in, out], the same as `weight()`; the caller disposes it. */
  merge(): tf.Tensor2D;
  /** Dispose the parameters. The base projection stays the caller's. */
  dispose(): void;
}

/**
 * Put a LoRA adapter around a projection.
 * @param base the frozen projection; read at each call, never disposed.
 * @throws RangeError if r is not a whole number from 1 to min(in, out), loraAlpha is not finite,
 *   loraDropout is not in [0, 1), or given weights have other shapes.
 */
export function lora(base: Projection, options: LoraOptions): LoraProjection {
  const { r, loraAlpha = r, useRslora = false, useDora = false, loraDropout = 0 } = options;
  const { seed = 0 } = options;
  const { inFeatures, outFeatures } = base;
  assertInRange(base, r, loraAlpha, loraDropout);
  const scale = loraAlpha / (useRslora ? Math.sqrt(r) : r);
  const parameters = initParameters(base, scale, options);
  const [a, b, m] = parameters.map(({ variable }) => variable) as unknown as LoraVariables;
  let step: number | undefined;

  const adapted = () => mergedWeight(base.weight(), a, b, scale);
  const ratio = (magnitude: tf.Tensor1D) => doraRatio(magnitude, adapted); // [out]
  const merge = () => tf.tidy(() => (m ? (tf.mul(adapted(), ratio(m)) as tf.Tensor2D) : adapted()));
  const beside = (x: tf.Tensor) => {
    const y = base.apply(x);
    const drops = step !== undefined && loraDropout > 0;
    const input = drops ? dropout(x, loraDropout, `${seed}.${step}`) : x;
    const delta = loraDelta(input, a, b, scale);
    if (!m) return tf.add(y, delta);
    const biased = drops ? base.apply(input) : y;
    const mapped = base.bias ? tf.sub(biased, base.bias) : biased; // x W
    // (x W + delta) m / |V| less x W: at the start exactly 0.
    const change = tf.sub(scaleOutputs(tf.add(mapped, delta), ratio(m)), mapped);
    return tf.add(y, change);
  };
  return {
    inFeatures,
    outFeatures,
    scale,
    r,
    useDora,
    bias: base.bias,
    parameters,
    apply(x) {
      if (x.rank === 0 || x.shape.at(-1) !== inFeatures) {
        throw new RangeError(`lora.apply: x must be [..., ${inFeatures}], got [${x.shape}].`);
      }
      const drops = step !== undefined && loraDropout > 0;
      const rows = x.size / inFeatures;
      return tf.tidy(() => {
        if (drops) return beside(x);
        if (!m && base.parameters === undefined) {
          if (!frozenMergingPays(rows, base)) return beside(x);
          const y = loraMerged(x, base.weight(), a, b, scale);
          return base.bias ? tf.add(y, base.bias) : y;
        }
        return mergingPays(rows, base, r) ? denseApply(x, merge(), base.bias) : beside(x);
      });
    },
    train(next) {
      if (!Number.isFinite(next)) {
        throw new RangeError(`lora.train: step must be a finite number, got step=${next}.`);
      }
      step = next;
    },
    eval() {
      step = undefined;
    },
    weight: merge,
    merge,
    dispose: () => tf.dispose(parameters.map(({ variable }) => variable)),
  };
}

type LoraVariables = [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D | undefined];

function initParameters(
  base: Projection,
  scale: number,
  { r, useDora = false, seed = 0, initStd, initLoraWeights = true, name }: LoraOptions,
): TrainableParameter[] {
  const given = typeof initLoraWeights === 'object' ? initLoraWeights.magnitude : undefined;
  if (given && !useDora) {
    throw new RangeError('lora: a magnitude must come with useDora, got useDora=false.');
  }
  if (given) assertShape('magnitude', given, [base.outFeatures]);
  const prefix = name === undefined ? '' : `${name}.`;
  return tf.tidy(() => {
    const widths = [base.inFeatures, base.outFeatures] as const;
    const [a, b] = initLora(widths, { r, seed, initStd, initLoraWeights });
    const parameters = [
      { name: `${prefix}lora_A.weight`, variable: tf.variable(a) as tf.Variable },
      { name: `${prefix}lora_B.weight`, variable: tf.variable(b) as tf.Variable },
    ];
    if (useDora) {
      const norms = given ?? outputNorms(mergedWeight(base.weight(), a, b, scale));
      const variable = tf.variable(tf.clone(norms)) as tf.Variable;
      parameters.push({ name: `${prefix}lora_magnitude_vector`, variable });
    }
    return parameters as unknown as tf.TensorContainer;
  }) as unknown as TrainableParameter[];
}

function assertInRange(
  { inFeatures, outFeatures }: Projection,
  r: number,
  loraAlpha: number,
  loraDropout: number,
): void {
  if (!Number.isInteger(r) || r < 1 || r > Math.min(inFeatures, outFeatures)) {
    throw new RangeError(
      `lora: r must be a whole number from 1 to ${Math.min(inFeatures, outFeatures)}, got r=${r}.`,
    );
  }
  if (!Number.isFinite(loraAlpha)) {
    throw new RangeError(`lora: loraAlpha must be finite, got loraAlpha=${loraAlpha}.`);
  }
  if (!(loraDropout >= 0 && loraDropout < 1)) {
    throw new RangeError(`lora: loraDropout must be in [0, 1), got loraDropout=${loraDropout}.`);
  }
}

/**
 * Whether n rows take fewer multiplications where W + s (B A)^T is made at each call, in * out * r,
 * than with the adapter beside a frozen base, n r (in + out) more forward, and more than half of
 * these backward.
 */
function frozenMergingPays(rows: number, { inFeatures, outFeatures }: Projection): boolean {
  return inFeatures * outFeatures < rows * (inFeatures + outFeatures);
}

/**
 * Where the whole weight has a gradient, with DoRA or over a base that is trained too: whether n rows
 * take fewer multiplications, forward and backward, where W + s (B A)^T is made at each call,
 * in * out * (n + 3 r) more than the base, than with the adapter beside the base, 3 n r (in + out)
 * more. So it is for a batch through the narrow maps of a latent.
 */
function mergingPays(rows: number, { inFeatures, outFeatures }: Projection, r: number): boolean {
  return inFeatures * outFeatures * (rows + 3 * r) < 3 * rows * r * (inFeatures + outFeatures);
}
