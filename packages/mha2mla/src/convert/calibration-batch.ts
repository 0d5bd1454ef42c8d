/** Samples on their way through the layers: hidden states, and what a pass over them needs. */
import { type PrefillStep, prefillStep, rotaryAngles } from '@mha2mla/mla-runtime';
import { type ModelInputs, prepareInputs, type VlmSource } from '@mha2mla/vlm-adapters';
import { type HiddenStates, type KeepHidden, keepInMemory } from './hidden-states';
import type { Embedder } from './with-embedder';

export interface CalibrationBatch {
  /** Input of the next layer, [B, L, D]. */
  readonly hidden: HiddenStates;
  readonly step: PrefillStep;
  /** Angles of all pairs, [B * L * headDim / 2]. */
  readonly angles: { cos: Float32Array; sin: Float32Array };
}

/** Embed samples. The caller disposes the batch by {@link disposeBatch}. */
export async function calibrationBatch(
  { family, config }: Pick<VlmSource, 'family' | 'config'>,
  embed: Embedder,
  inputs: ModelInputs,
  keepHidden: KeepHidden = keepInMemory,
): Promise<CalibrationBatch> {
  const { layout, positionIds } = prepareInputs(family, config, inputs);
  return {
    hidden: await keepHidden(embed(inputs)),
    step: prefillStep(layout, positionIds, config.decoder),
    angles: rotaryAngles(positionIds, inputs.batch * inputs.length, config.decoder),
  };
}

export function disposeBatch({ hidden, step }: CalibrationBatch): void {
  hidden.dispose();
  step.dispose();
}
