/**
 * Heal layer by layer: the student's layer learns to give, for what the layers healed before it
 * give it, what the original's layer gives for its own input. No labels, no vocabulary, one layer of
 * each model at a time: memory does not grow with depth, and a stopped run goes on behind the layers
 * that it had finished.
 */
import type { Processor, VlmSource } from '@mha2mla/vlm-adapters';
import type { KeepHidden } from '../convert/hidden-states';
import type { Question } from '../data/question';
import type { ResultOutput } from '../output/result-output';
import { type HealedLayer, healLayer } from './heal-layer';
import type { HealReport } from './heal-model';
import type { HealPlan } from './heal-options';
import { openHealedLayer, writeHealedLayer } from './healed-layer';
import { advanceStreams, disposeStream, embedStreams } from './layer-streams';
import type { MergedWeights } from './merge-adapters';

export interface LayerwiseRun {
  /** The converted model, and the one that it was made of. */
  source: VlmSource;
  original: VlmSource;
  processor: Processor;
  questions: readonly Question[];
  /** Updates are those of each layer. */
  plan: HealPlan;
  /** Keeps each finished layer, so that a stopped run goes on behind it. */
  output: ResultOutput;
  /** Where hidden states are kept. Default in memory. */
  keepHidden?: KeepHidden;
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'heal'; loaded: number; total: number }) => void;
}

/** Losses are relative squared errors of what a layer gives, means over the layers. */
export interface LayerwiseReport extends HealReport {
  /** Of each layer by itself. */
  layers: { first: number; last: number }[];
}

/**
 * @returns the report, and the healed weights by the decoder's names, read from the output's pieces.
 * @throws RangeError for models that do not fit, no question, or a loss that is no number; the
 *   signal's reason when aborted.
 */
export async function healLayerwise(
  run: LayerwiseRun,
): Promise<{ report: LayerwiseReport; merged: MergedWeights }> {
  checkRun(run);
  const { source, output, plan, onProgress } = run;
  const count = source.config.decoder.numHiddenLayers;
  const total = count * plan.steps;
  const merged = new Map<string, () => Promise<Float32Array>>();
  const layers: (readonly number[])[] = [];
  const sizes = { trained: 0, total: 0 };
  const streams = await embedStreams(run);
  try {
    for (let index = 0; index < count; index++) {
      const name = layerName(index);
      if (!(await output.has(name))) {
        const onUpdate = (done: number) =>
          onProgress?.({ phase: 'heal', loaded: index * plan.steps + done, total });
        await writeHealedLayer(output, name, await healLayer(run, streams, index, onUpdate));
      }
      const healed = await openHealedLayer<Omit<HealedLayer, 'weights'>>(output, name);
      await advanceStreams(run, streams, index, await healed.read(`layers.${index}.`));
      for (const weight of healed.names) merged.set(weight, () => healed.readWeight(weight));
      layers.push(healed.losses);
      sizes.trained += healed.trained;
      sizes.total += healed.total;
      onProgress?.({ phase: 'heal', loaded: (index + 1) * plan.steps, total });
    }
  } finally {
    for (const stream of streams) disposeStream(stream);
  }
  return { report: reportOf(layers, plan.steps, sizes.trained / sizes.total), merged };
}

/** Pieces of the output that only a stopped run needs. */
export function layerNames({ config }: VlmSource): string[] {
  return Array.from({ length: config.decoder.numHiddenLayers }, (_, i) => layerName(i));
}

function layerName(index: number): string {
  return `healed-${String(index).padStart(5, '0')}.safetensors`;
}

function checkRun({ source, original, questions }: LayerwiseRun): void {
  for (const key of ['numHiddenLayers', 'hiddenSize'] as const) {
    const [own, other] = [source.config.decoder[key], original.config.decoder[key]];
    if (own === other) continue;
    throw new RangeError(
      `healLayerwise: student and teacher must have one ${key}, got ${own} and ${other}. The teacher is the model that was converted.`,
    );
  }
  if (questions.length === 0) {
    throw new RangeError('healLayerwise: questions must not be empty, got none.');
  }
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
