/**
 * A frozen dense projection, y = x W + b, with W [inFeatures, outFeatures].
 *
 * Its gradient reaches x only: the weight is closed over, so that no gradient is computed for it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ArenaMatrices } from './host/arena-matrices';
import { isTensorFlowOnProcessor } from './kernels/host-backends';
import { takesHostVectors } from './kernels/host-vectors';
import { stackedMatMul } from './kernels/stacked-mat-mul';
import type { Projection } from './projection';

/** Multiplications that our loops make in less time than TensorFlow's library takes to begin an op (150 us). */
const MOST_PRODUCTS = 2 ** 19;
/** Rows that a step of decode has; those of a prompt are the library's. */
const MOST_ROWS = 8;

/**
 * Wrap a weight as a {@link Projection}, which then owns both tensors.
 * @param weight [inFeatures, outFeatures], f32.
 * @param bias [outFeatures], f32.
 */
export function denseProjection(weight: tf.Tensor2D, bias?: tf.Tensor1D): Projection {
  const [inFeatures, outFeatures] = weight.shape;
  if (bias !== undefined && bias.shape[0] !== outFeatures) {
    throw new RangeError(
      `denseProjection: bias must be [${outFeatures}] like the weight's outputs, got [${bias.shape}].`,
    );
  }
  const inArena = new ArenaProjection(weight, bias);
  return {
    inFeatures,
    outFeatures,
    bias,
    apply: (x) => tf.tidy(() => inArena.apply(x) ?? addBias(project(x, weight), bias)),
    weight: () => tf.clone(weight),
    dispose: () => {
      inArena.dispose();
      weight.dispose();
      bias?.dispose();
    },
  };
}

/** A copy of a weight in memory of ours, made where a few rows are first multiplied with it there. */
class ArenaProjection {
  private copy: { matrices: ArenaMatrices; bias: Float32Array | undefined } | undefined;

  constructor(
    private readonly weight: tf.Tensor2D,
    private readonly bias: tf.Tensor1D | undefined,
  ) {}

  /** @returns `undefined` where an op serves. */
  apply(x: tf.Tensor): tf.Tensor | undefined {
    const [inFeatures, outFeatures] = this.weight.shape;
    const isStep = x.shape.at(-1) === inFeatures && x.size <= MOST_ROWS * inFeatures;
    if (!isStep || !isTensorFlowOnProcessor()) return undefined;
    if (!takesHostVectors(x.size * outFeatures, MOST_PRODUCTS)) return undefined;
    this.copy ??= {
      matrices: new ArenaMatrices(this.weight.dataSync(), [1, inFeatures, outFeatures]),
      bias: this.bias?.dataSync() as Float32Array | undefined,
    };
    const { matrices, bias } = this.copy;
    const y = matrices.multiply(x.dataSync() as Float32Array);
    if (bias) for (let i = 0; i < y.length; i++) y[i]! += bias[i % outFeatures]!;
    return tf.tensor(y, [...x.shape.slice(0, -1), outFeatures]);
  }

  dispose(): void {
    this.copy?.matrices.dispose();
    this.copy = undefined;
  }
}

function addBias(y: tf.Tensor, bias: tf.Tensor1D | undefined): tf.Tensor {
  return bias === undefined ? y : tf.add(y, bias);
}

/** x [..., I] times weight [I, O], as one 2-D product. */
function project(x: tf.Tensor, weight: tf.Tensor2D): tf.Tensor {
  const [inFeatures, outFeatures] = weight.shape;
  if (x.shape[x.rank - 1] !== inFeatures) {
    throw new RangeError(
      `denseProjection: the last dimension of x must be ${inFeatures}, got x=[${x.shape}].`,
    );
  }
  if (x.size === 0 || outFeatures === 0) {
    return tf.zeros([...x.shape.slice(0, -1), outFeatures]);
  }
  const multiply = (rows: tf.Tensor) => stackedMatMul(rows, weight);
  const withGradient = tf.customGrad((input) => ({
    value: multiply(input as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => stackedMatMul(dy, weight, false, true),
  }));
  // A step without a tape need not pay for one.
  const product = tf.engine().isTapeOn() ? withGradient : multiply;
  if (x.rank === 2) return product(x);
  const flat = tf.reshape(x, [-1, inFeatures]); // [rows, I]
  return tf.reshape(product(flat), [...x.shape.slice(0, -1), outFeatures]);
}
