import { prefillStep } from '@mha2mla/mla-runtime';
import { type ModelInputs, prepareInputs, type VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';

/** Logits [B * L * vocabulary] of whole prompts. */
export async function promptLogits(
  model: VisionLanguageModel,
  inputs: ModelInputs,
): Promise<Float32Array> {
  const { layout, positionIds } = prepareInputs(model.family, model.config, inputs);
  const step = prefillStep(layout, positionIds, model.config.decoder);
  const tensors: tf.Tensor[] = [];
  try {
    const embedded = model.embed(inputs);
    tensors.push(embedded);
    tensors.push(await model.decoder.prefill(embedded, step));
    tensors.push(model.decoder.logits(tensors.at(-1)!));
    return (await tensors.at(-1)!.data()) as Float32Array;
  } finally {
    tf.dispose(tensors);
    step.dispose();
  }
}

/**
 * How far a change of a model, such as merging its adapters, moves its logits.
 * @param change is made, and stays.
 * @returns the largest absolute difference of a logit of a real token.
 */
export async function largestLogitChange(
  model: VisionLanguageModel,
  inputs: ModelInputs,
  change: () => void,
): Promise<number> {
  const before = await promptLogits(model, inputs);
  change();
  const after = await promptLogits(model, inputs);
  const vocabulary = before.length / inputs.attentionMask.length;
  let largest = 0;
  for (const [i, value] of after.entries()) {
    if (inputs.attentionMask[Math.floor(i / vocabulary)] === 0) continue;
    const moved = Math.abs(value - before[i]!);
    // NaN is larger than all.
    if (!(moved <= largest)) largest = moved;
  }
  return largest;
}
