/**
 * A linear map whose own weight, bias or both are trained: full fine-tuning of one module, or the
 * bias beside an adapter around it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { denseApply } from './dense-apply';
import type { Projection } from './projection';
import type { TrainableParameter } from './trainable-parameter';

/** Options of `trainableProjection`. */
export interface TrainableProjectionOptions {
  /** Train W. Default true. */
  weight?: boolean;
  /** Train the bias, if the map has one. Default true. */
  bias?: boolean;
  /** Name of the module, put before the names of the parameters. */
  name?: string;
}

export interface TrainableProjection extends Projection {
  /** W [in, out] as `<name>.weight`, and the bias [out] as `<name>.bias`: those that are trained. */
  readonly parameters: readonly TrainableParameter[];
  /** Dispose the parameters. The base projection stays the caller's. */
  dispose(): void;
}

/**
 * Train a projection's own numbers, which start as they are.
 * @param base read at each call, never changed or disposed.
 */
export function trainableProjection(
  base: Projection,
  { weight = true, bias = true, name }: TrainableProjectionOptions = {},
): TrainableProjection {
  const prefix = name === undefined ? '' : `${name}.`;
  const w = weight ? tf.tidy(() => tf.variable(base.weight())) : undefined;
  const b = bias && base.bias ? tf.tidy(() => tf.variable(base.bias!)) : undefined;
  const ownBias = b ?? base.bias;
  const parameters: TrainableParameter[] = [];
  if (w) parameters.push({ name: `${prefix}weight`, variable: w });
  if (b) parameters.push({ name: `${prefix}bias`, variable: b });
  return {
    inFeatures: base.inFeatures,
    outFeatures: base.outFeatures,
    bias: ownBias,
    parameters,
    apply: (x) =>
      tf.tidy(() => {
        if (w) return denseApply(x, w, ownBias);
        const y = base.apply(x);
        return b ? tf.add(y, tf.sub(b, base.bias!)) : y;
      }),
    weight: () => (w ? tf.clone(w) : base.weight()),
    dispose: () => tf.dispose(parameters.map(({ variable }) => variable)),
  };
}
