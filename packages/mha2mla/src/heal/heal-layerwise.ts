/**
 * Heal layer by layer: the student's layer learns to give, for what the layers healed before it
 * give it (or, if the plan says so, for the original's input), what the original's layer gives for
 * its own input. No labels, no vocabulary, one layer of
 * each model at a time: memory does not grow with depth, and a stopped run goes on behind the layers
 * that it had finished.
 */
import type { Processor, VlmSource } from '@mha2mla/vlm-adapters';
import type { KeepHidden } from '../convert/hidden-states';
import type { Question } from '../data/question';
import type { ResultOutput } from '../output/result-output';
import { gatherLayers, type HealedLayers } from './gather-layers';
import { healLayer } from './heal-layer';
import type { HealPlan } from './heal-options';
import { layerName, openHealedLayer, writeHealedLayer } from './healed-layer';
import { advanceStreams, disposeStream, embedStreams } from './layer-streams';

/** What `healLayerwise` takes. */
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
  /** Called after each update. */
  onProgress?: (progress: { phase: 'heal'; loaded: number; total: number }) => void;
}

/**
 * @returns the report, and the healed weights by the decoder's names, read from the output's pieces.
 * @throws RangeError for models that do not fit, no question, or a loss that is no number; the
 *   signal's reason when aborted.
 */
export async function healLayerwise(run: LayerwiseRun): Promise<HealedLayers> {
  assertLayerwise(run);
  const { source, output, plan, onProgress } = run;
  const count = source.config.decoder.numHiddenLayers;
  const total = count * plan.steps;
  const streams = await embedStreams(run);
  try {
    for (let index = 0; index < count; index++) {
      const name = layerName(index);
      if (!(await output.has(name))) {
        const onUpdate = (done: number) =>
          onProgress?.({ phase: 'heal', loaded: index * plan.steps + done, total });
        await writeHealedLayer(output, name, await healLayer(run, streams, index, onUpdate));
      }
      await advanceStreams(run, streams, index, async () => {
        const healed = await openHealedLayer(output, name);
        return healed.read(`layers.${index}.`);
      });
      onProgress?.({ phase: 'heal', loaded: (index + 1) * plan.steps, total });
    }
  } finally {
    for (const stream of streams) disposeStream(stream);
  }
  return gatherLayers(output, count, plan.steps);
}

/** Pieces of the output that only a stopped run needs. */
export function layerNames({ config }: VlmSource): string[] {
  return Array.from({ length: config.decoder.numHiddenLayers }, (_, i) => layerName(i));
}

/** @throws RangeError for models that do not fit, or no question. */
export function assertLayerwise({
  source,
  original,
  questions,
}: Pick<LayerwiseRun, 'source' | 'original' | 'questions'>): void {
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
