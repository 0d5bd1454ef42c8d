import type { Decoder } from '@mha2mla/mla-runtime';
import { AdamW, valueAndGrads } from '@mha2mla/peft';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import type { AttachedAdapters } from './attach-adapters';
import { disposePrepared, healLoss, prepareBatch } from './heal-loss';
import { tinyAnswers } from './tiny-healing';

/** Some updates on tiny answers, for tests that want adapters which are not zero. */
export async function trainTiny(
  student: VisionLanguageModel,
  teacher: Decoder,
  { parameters }: AttachedAdapters,
  { steps, learningRate = 0.02 }: { steps: number; learningRate?: number },
): Promise<void> {
  const optimizer = new AdamW(parameters);
  for (let step = 0; step < steps; step++) {
    const batch = prepareBatch(student, teacher, tinyAnswers(step + 1));
    const weights = { kd: 1, hidden: 1, temperature: 1 };
    const { value, grads } = valueAndGrads(
      () => healLoss(student.decoder, batch, weights),
      parameters,
    );
    optimizer.step(grads, learningRate);
    disposePrepared(batch);
    tf.dispose([value, grads] as tf.TensorContainer);
  }
  optimizer.dispose();
}
