/**
 * The gradients of `healLoss` with the tape of one layer at a time (Chen et al., arXiv 1604.06174):
 * a pass without a tape keeps what each layer is given, then the layers run again from the last to
 * the first, each differentiated by its input and its own parameters. Of what came after a layer only
 * the gradient by its output is left; a term with that gradient stands in its place, so that numbers
 * are added in the order of one tape, and come out the same to the bit.
 */
import { asOnTape, type Decoder, withoutPadding } from '@mha2mla/mla-runtime';
import {
  type TrainableParameter,
  type ValueAndGrads,
  type ValueAndGradsOptions,
  valueAndGrads,
} from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import { answerTerms, hiddenTerm, type LossWeights, lossOf, type PreparedBatch } from './heal-loss';

/** Differs from the parameters' names, which are those of weights. */
const INPUT = 'input';

/**
 * Differentiate `healLoss` in the memory of one layer, for a second forward pass.
 * @param parameters of layers are named `layers.N.` and so on, others belong to what follows them.
 * @returns what `valueAndGrads` gives of `healLoss`; the caller disposes it.
 * @throws RangeError where the loss does not depend on a parameter, unless that is allowed.
 */
export function checkpointedGradients(
  student: Decoder,
  batch: PreparedBatch,
  weights: LossWeights,
  parameters: readonly TrainableParameter[],
  options: ValueAndGradsOptions = {},
): ValueAndGrads {
  const { layers } = student;
  const { embedded, step } = batch;
  const places = parameters.map(({ name }) => placeOf(name, layers.length));
  const first = Math.min(...places);
  return tf.tidy(() => {
    const { outputs, value } = asOnTape(() => {
      const outputs = student.prefillSync(embedded, step);
      return { outputs, value: lossOf(student, outputs, batch, weights) };
    });
    const inputs = [withoutPadding(embedded, step), ...outputs];
    const grads: tf.NamedTensorMap = {};
    let after: tf.Tensor | undefined;
    for (let place = layers.length; place >= first; place--) {
      const rest = after;
      const terms = (x: tf.Tensor3D) => [
        ...(rest
          ? [termOfGradient(layers[place]!.prefill(x, step), rest)]
          : answerTerms(student, x, batch, weights)),
        ...(place > 0 ? hiddenTerm(x, place - 1, batch, weights) : []),
      ];
      const own = parameters.filter((_, i) => places[i] === place);
      const found = gradientsOf(terms, inputs.pop()!, own, { ...options, through: place > first });
      rest?.dispose();
      after = found.input;
      Object.assign(grads, found.grads);
    }
    return { value, grads };
  });
}

/** Which layer a parameter is of; their number for norm and head. */
function placeOf(name: string, layers: number): number {
  const index = /^layers\.(\d+)\./.exec(name)?.[1];
  return index === undefined ? layers : Number(index);
}

/**
 * Differentiate a sum of terms by an input, which is disposed, and by parameters.
 * @param options.through whether the input's gradient is wanted.
 */
function gradientsOf(
  terms: (input: tf.Tensor3D) => tf.Tensor[],
  values: tf.Tensor3D,
  parameters: readonly TrainableParameter[],
  { through, ...options }: ValueAndGradsOptions & { through: boolean },
): { input?: tf.Tensor; grads: tf.NamedTensorMap } {
  const variable = tf.variable(values);
  values.dispose();
  try {
    const { value, grads } = valueAndGrads(
      () => tf.addN(terms(variable as unknown as tf.Tensor3D)) as tf.Scalar,
      through ? [{ name: INPUT, variable }, ...parameters] : parameters,
      options,
    );
    value.dispose();
    const { [INPUT]: input, ...own } = grads;
    return { input, grads: own };
  } finally {
    variable.dispose();
  }
}

/** A scalar, 0, whose gradient by an output is the one given. */
function termOfGradient(output: tf.Tensor, gradient: tf.Tensor): tf.Tensor {
  return tf.customGrad(() => ({
    value: tf.scalar(0),
    gradFunc: (dy: tf.Tensor) => tf.mul(gradient, dy),
  }))(output);
}
