/** Value and gradients of a loss, keyed by the names of the parameters. */
import * as tf from '@tensorflow/tfjs-core';
import { registerGradients } from './register-gradients';
import type { TrainableParameter } from './trainable-parameter';

/** A loss and its gradients; the caller disposes both. */
export interface ValueAndGrads {
  /** The loss, a scalar. */
  value: tf.Scalar;
  /** One gradient a parameter, of the parameter's shape, under the parameter's name. */
  grads: tf.NamedTensorMap;
}

/** Options of `valueAndGrads`. */
export interface ValueAndGradsOptions {
  /** Leave parameters out that the loss does not depend on, instead of throwing. */
  allowMissing?: boolean;
}

/**
 * Differentiate a loss by the parameters.
 * @param lossFn returns the loss, a scalar; what else it makes is disposed.
 * @param parameters what to differentiate by; names must differ.
 * @returns value and gradients; the caller disposes them (`tf.dispose(result)`).
 * @throws RangeError if two names are equal, or the loss does not depend on a parameter: a part of
 *   the model that training would leave as it is without a word.
 */
export function valueAndGrads(
  lossFn: () => tf.Scalar,
  parameters: readonly TrainableParameter[],
  { allowMissing = false }: ValueAndGradsOptions = {},
): ValueAndGrads {
  registerGradients();
  if (new Set(parameters.map(({ name }) => name)).size !== parameters.length) {
    throw new RangeError('valueAndGrads: parameter names must differ. Name each after its module.');
  }
  const variables = parameters.map(({ variable }) => variable);
  const { value, grads } = tf.variableGrads(lossFn, variables);
  const named: tf.NamedTensorMap = {};
  const missing: string[] = [];
  for (const { name, variable } of parameters) {
    const grad = grads[variable.name];
    if (grad == null) missing.push(name);
    else named[name] = grad;
  }
  if (missing.length > 0 && !allowMissing) {
    tf.dispose([value, ...Object.values(named)]);
    throw new RangeError(
      `valueAndGrads: the loss must depend on each parameter, got no gradient for ${missing.length} of ${parameters.length}: ${missing.slice(0, 5).join(', ')}. Set allowMissing if that is meant.`,
    );
  }
  return { value, grads: named };
}
