import { type AdamW, clipByGlobalNorm } from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import { HealingDiverged } from './divergence';

/** Gradients beyond this are scaled down, as the reference has it. */
const MAX_GRADIENT_NORM = 1;

export interface ClippedStep {
  loss: number;
  /** By the names of parameters; they stay the caller's. */
  grads: tf.NamedTensorMap;
  rate: number;
  /** Of the updates before. */
  losses: readonly number[];
  /** Who trains what, such as `healModel`, for the message. */
  where: string;
}

/**
 * Move parameters by their gradients.
 * @throws HealingDiverged for a loss or gradients that are no numbers, either of which would make
 *   every weight NaN, and the next saved state with them; nothing moves then.
 */
export async function clippedStep(
  optimizer: AdamW,
  { loss, grads, rate, losses, where }: ClippedStep,
): Promise<void> {
  const clipped = clipByGlobalNorm(grads, MAX_GRADIENT_NORM);
  try {
    const norm = (await clipped.norm.data())[0]!;
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      throw new HealingDiverged(
        `${where}: loss and gradients must stay finite, got a loss of ${loss} and a gradient norm of ${norm} at update ${losses.length + 1}. Start anew with a lower learning rate.`,
        losses,
      );
    }
    optimizer.step(clipped.grads, rate);
  } finally {
    tf.dispose([clipped.grads, clipped.norm] as tf.TensorContainer);
  }
}
