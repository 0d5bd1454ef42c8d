/** What a layer-wise run came to, from the pieces that its layers left in the output. */
import type { ResultOutput } from '../output/result-output';
import type { HealedLayer } from './heal-layer';
import type { HealReport } from './heal-model';
import { layerName, openHealedLayer } from './healed-layer';
import type { MergedWeights } from './merge-adapters';

/** Losses are relative squared errors of what a layer gives, means over the layers. */
export interface LayerwiseReport extends HealReport {
  /** Of each layer by itself. */
  layers: { first: number; last: number }[];
}

/** Healed weights are by the decoder's names, and read when they are needed. */
export interface HealedLayers {
  report: LayerwiseReport;
  merged: MergedWeights;
}

/**
 * @param count of layers.
 * @param steps updates of each.
 */
export async function gatherLayers(
  output: Pick<ResultOutput, 'read'>,
  count: number,
  steps: number,
): Promise<HealedLayers> {
  const merged = new Map<string, () => Promise<Float32Array>>();
  const layers: (readonly number[])[] = [];
  const sizes = { trained: 0, total: 0 };
  for (let index = 0; index < count; index++) {
    const healed = await openHealedLayer<Omit<HealedLayer, 'weights'>>(output, layerName(index));
    for (const weight of healed.names) merged.set(weight, () => healed.readWeight(weight));
    layers.push(healed.losses);
    sizes.trained += healed.trained;
    sizes.total += healed.total;
  }
  return { report: reportOf(layers, steps, sizes.trained / sizes.total), merged };
}

function reportOf(
  layers: readonly (readonly number[])[],
  steps: number,
  trainableShare: number,
): LayerwiseReport {
  const losses = Array.from({ length: steps }, (_, step) =>
    layers.reduce((sum, own) => sum + own[step]! / layers.length, 0),
  );
  return {
    ...{ steps, trainableShare, losses },
    loss: { first: losses[0]!, last: losses.at(-1)! },
    layers: layers.map((own) => ({ first: own[0]!, last: own.at(-1)! })),
  };
}
