import { PADDING } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import type { CalibrationBatch } from './calibration-batch';
import { withHidden } from './hidden-states';

/** Σ |h|² over tokens, and how many there are. */
export interface ResidualSum {
  sum: number;
  count: number;
}

/** The residual stream of a batch's tokens, padding apart. */
export async function residualSum({ hidden, step }: CalibrationBatch): Promise<ResidualSum> {
  const energies = await withHidden(
    hidden,
    (states) => tf.tidy(() => tf.reshape(tf.sum(tf.square(states), 2), [-1])), // [B * L]
  );
  const values = await energies.data();
  energies.dispose();
  let [sum, count] = [0, 0];
  for (const [token, kind] of step.layout.kinds.entries()) {
    if (kind === PADDING) continue;
    sum += values[token]!;
    count++;
  }
  return { sum, count };
}

/** The mean of several batches' |h|²; 0 where there are no tokens. */
export function meanResidual(parts: readonly ResidualSum[]): number {
  const [sum, count] = parts.reduce(([s, n], part) => [s + part.sum, n + part.count], [0, 0]);
  return count === 0 ? 0 : sum / count;
}

/**
 * How large the residual stream is that a layer's attention adds to: the mean of |h|² over all
 * tokens. (Harmonic means, or those of text alone, rank layers alike but overdo the first; decision 3.)
 * @returns 0 where there are no tokens.
 */
export async function residualScale(batches: readonly CalibrationBatch[]): Promise<number> {
  const parts: ResidualSum[] = [];
  for (const batch of batches) parts.push(await residualSum(batch));
  return meanResidual(parts);
}
