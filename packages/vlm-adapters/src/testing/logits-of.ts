import { prefillStep } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { ModelInputs } from '../model-inputs';
import { prepareInputs } from '../prepare-inputs';
import type { VisionLanguageModel } from '../vision-language-model';

/** Logits of a whole batch, [B * L * vocabulary]. */
export async function logitsOf(
  model: VisionLanguageModel,
  inputs: ModelInputs,
): Promise<Float32Array> {
  const embedded = model.embed(inputs);
  const { layout, positionIds } = prepareInputs(model.family, model.config, inputs);
  const step = prefillStep(layout, positionIds, model.config.decoder);
  const hidden = await model.decoder.prefill(embedded, step);
  const logits = model.decoder.logits(hidden);
  const values = (await logits.data()) as Float32Array;
  tf.dispose([embedded, hidden, logits]);
  step.dispose();
  return values;
}
