/** Training rows on their way through the layers of the student and of the teacher, side by side. */
import { loadDecoderLayer, type PrefillStep, yieldToEventLoop } from '@mha2mla/mla-runtime';
import type { VlmConfig } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { type HiddenStates, keepInMemory, withHidden } from '../convert/hidden-states';
import { type LayerWeights, layerReader } from '../convert/layer-weights';
import { withEmbedder } from '../convert/with-embedder';
import { type ReferencePlaces, referenceStep } from '../evaluate/reference-step';
import type { LayerwiseRun } from './heal-layerwise';
import { placesOf, streamBatches } from './stream-batches';

export interface LayerStream<Hidden extends Pick<HiddenStates, 'read'> = HiddenStates> {
  /** Absent where the student's layers learn on the teacher's. */
  student?: Hidden;
  teacher: Hidden;
  /** What masks and positions are made of, when they are needed. */
  places: ReferencePlaces;
}

export async function embedStreams(run: LayerwiseRun): Promise<LayerStream[]> {
  const { source, plan, signal, keepHidden = keepInMemory } = run;
  const streams: LayerStream[] = [];
  return withEmbedder(source, async (embed) => {
    try {
      for await (const packed of streamBatches(run)) {
        signal?.throwIfAborted();
        await yieldToEventLoop();
        const embedded = embed(packed.inputs);
        const apart = plan.layerInputs === 'student';
        const student = apart ? await keepHidden(tf.clone(embedded)) : undefined;
        const teacher = await keepHidden(embedded);
        streams.push({ teacher, student, places: placesOf(packed) });
      }
      return streams;
    } catch (error) {
      for (const stream of streams) disposeStream(stream);
      throw error;
    }
  });
}

export function disposeStream({ student, teacher }: LayerStream): void {
  student?.dispose();
  teacher.dispose();
}

/** Masks and positions of a stream while `use` runs: at real size they are larger than its states. */
export async function withStep<T>(
  config: VlmConfig,
  { places }: Pick<LayerStream, 'places'>,
  use: (step: PrefillStep) => T | Promise<T>,
): Promise<T> {
  const step = referenceStep(config, places);
  try {
    return await use(step);
  } finally {
    step.dispose();
  }
}

/**
 * Bring each side to the next layer's input.
 * @param healed the student's layer, by names below `layers.N.`; asked for where it is needed.
 */
export async function advanceStreams(
  { source, original, plan, signal }: LayerwiseRun,
  streams: readonly LayerStream[],
  index: number,
  healed: () => Promise<LayerWeights>,
): Promise<void> {
  const { decoder } = source.config;
  if (index + 1 === decoder.numHiddenLayers) return;
  const student =
    plan.layerInputs === 'student'
      ? await loadDecoderLayer(decoder, layerReader(await healed(), index, source.weights), index)
      : undefined;
  const teacher = await loadDecoderLayer(original.config.decoder, original.weights, index);
  try {
    for (const stream of streams) {
      await yieldToEventLoop();
      signal?.throwIfAborted();
      await withStep(source.config, stream, async (step) => {
        for (const [hidden, layer] of [
          [stream.student, student],
          [stream.teacher, teacher],
        ] as const) {
          if (!hidden || !layer) continue;
          await withHidden(hidden, (states) => hidden.write(layer.prefill(states, step)));
        }
      });
    }
  } finally {
    student?.dispose();
    teacher.dispose();
  }
}
