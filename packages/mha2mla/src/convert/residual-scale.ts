import { PADDING } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { CalibrationBatch } from './calibration-batch';
import { withHidden } from './hidden-states';

/**
 * How large the residual stream is that a layer's attention adds to: the mean of |h|² over all
 * tokens. (Harmonic means, or those of text alone, rank layers alike but overdo the first; decision 3.)
 * @returns 0 where there are no tokens.
 */
export async function residualScale(batches: readonly CalibrationBatch[]): Promise<number> {
  let [sum, count] = [0, 0];
  for (const { hidden, step } of batches) {
    const energies = await withHidden(
      hidden,
      (states) => tf.tidy(() => tf.reshape(tf.sum(tf.square(states), 2), [-1])), // [B * L]
    );
    const values = await energies.data();
    energies.dispose();
    for (const [token, kind] of step.layout.kinds.entries()) {
      if (kind === PADDING) continue;
      sum += values[token]!;
      count++;
    }
  }
  return count === 0 ? 0 : sum / count;
}
