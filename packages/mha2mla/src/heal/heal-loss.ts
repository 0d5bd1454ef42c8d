/**
 * What healing minimises: cross-entropy of the reference answers, distillation from the original's
 * logits at the same places, and the distance of every layer's output to the original's, at all
 * tokens, which teaches far more a sample than the few tokens of an answer.
 */
import type { Decoder, PrefillStep } from '@mha2mla/mla-runtime';
import { crossEntropy, distillationLoss, outputMatchingLoss } from '@mha2mla/peft';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { embedReferences } from '../evaluate/embed-references';
import type { PackedReferences } from '../evaluate/pack-references';

export interface LossWeights {
  /** Of the distillation from logits. */
  kd: number;
  /** Of the relative distance of the layers' outputs. */
  hidden: number;
  temperature: number;
}

/** A batch with all that does not depend on what is trained. */
export interface PreparedBatch {
  /** [B, L, D]. */
  embedded: tf.Tensor3D;
  step: PrefillStep;
  /** [P] indices into B * L, and [P] labels. */
  predicting: tf.Tensor1D;
  labels: tf.Tensor1D;
  /** [B, L], 0 at padding. */
  mask: tf.Tensor2D;
  /** The original's layer outputs [B, L, D] and answer logits [P, vocabulary], where they have weight. */
  teacher?: { hidden: tf.Tensor3D[]; logits: tf.Tensor2D };
}

/**
 * Embed packed questions and, where its outputs have weight, run the original on them, outside of
 * any tape.
 * @param packed labels below 0 are not learnt.
 * @param teacher the original's decoder.
 * @returns tensors that the caller disposes by {@link disposePrepared}.
 * @throws RangeError when pictures and their places in the prompts differ in number.
 */
export function prepareBatch(
  student: VisionLanguageModel,
  teacher: Decoder,
  packed: PackedReferences,
  { kd, hidden: weight }: Pick<LossWeights, 'kd' | 'hidden'> = { kd: 1, hidden: 1 },
): PreparedBatch {
  const { inputs, predicting, labels } = packed;
  const { inputsEmbeds: embedded, step } = embedReferences(student, packed);
  const places = tf.tensor1d(predicting, 'int32');
  const hidden = kd > 0 || weight > 0 ? teacher.prefillSync(embedded, step) : undefined;
  return {
    embedded,
    step,
    predicting: places,
    labels: tf.tensor1d(labels, 'int32'),
    mask: tf.tensor2d(Float32Array.from(inputs.attentionMask), [inputs.batch, inputs.length]),
    teacher: hidden && { hidden, logits: answerLogits(teacher, hidden.at(-1)!, places) },
  };
}

export function disposePrepared({ step, teacher, ...tensors }: PreparedBatch): void {
  step.dispose();
  tf.dispose([...Object.values(tensors), teacher?.hidden, teacher?.logits] as tf.TensorContainer);
}

/**
 * The loss of a student on a batch; differentiate it by `valueAndGrads`, or layer by layer by
 * `checkpointedGradients`.
 * @returns a scalar that the caller disposes.
 */
export function healLoss(student: Decoder, batch: PreparedBatch, weights: LossWeights): tf.Scalar {
  return tf.tidy(() =>
    lossOf(student, student.prefillSync(batch.embedded, batch.step), batch, weights),
  );
}

/** The loss from the layers' outputs [B, L, D]; in a `tf.tidy`, as the two below. */
export function lossOf(
  student: Decoder,
  outputs: readonly tf.Tensor3D[],
  batch: PreparedBatch,
  weights: LossWeights,
): tf.Scalar {
  return tf.addN([
    ...answerTerms(student, outputs.at(-1)!, batch, weights),
    ...outputs.flatMap((output, index) => hiddenTerm(output, index, batch, weights)),
  ]) as tf.Scalar;
}

/** Cross-entropy and distillation, from the last layer's output. */
export function answerTerms(
  student: Decoder,
  last: tf.Tensor3D,
  { predicting, labels, teacher }: PreparedBatch,
  { kd, temperature }: LossWeights,
): tf.Tensor[] {
  const logits = answerLogits(student, last, predicting);
  const ce = crossEntropy(logits, labels);
  if (kd === 0) return [ce];
  return [ce, tf.mul(distillationLoss(logits, teacher!.logits, { temperature }), kd)];
}

/** The distance of a layer's output, where it has a weight. */
export function hiddenTerm(
  output: tf.Tensor3D,
  index: number,
  { mask, teacher }: PreparedBatch,
  { hidden: weight }: LossWeights,
): tf.Tensor[] {
  if (weight === 0) return [];
  const { hidden } = teacher!;
  const distance = outputMatchingLoss(output, hidden[index]!, { mask });
  return [tf.mul(distance, weight / hidden.length)];
}

/** Logits [P, vocabulary] of the chosen tokens of [B, L, D]. */
function answerLogits(decoder: Decoder, hidden: tf.Tensor3D, predicting: tf.Tensor1D): tf.Tensor2D {
  return tf.tidy(() => {
    const flat = tf.reshape(hidden, [-1, hidden.shape[2]]);
    return decoder.logits(tf.gather(flat, predicting)) as tf.Tensor2D;
  });
}
