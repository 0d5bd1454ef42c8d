/** Training rows on their way through the layers of the student and of the teacher, side by side. */
import {
  loadDecoderLayer,
  type PrefillStep,
  seededRandom,
  yieldToEventLoop,
} from '@mha2mla/mla-runtime';
import type { VlmConfig } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { type HiddenStates, keepInMemory, withHidden } from '../convert/hidden-states';
import { type LayerWeights, layerReader } from '../convert/layer-weights';
import { withEmbedder } from '../convert/with-embedder';
import { questionRows } from '../data/question-rows';
import { rememberMedia } from '../data/remember-media';
import { type ReferencePlaces, referenceStep } from '../evaluate/reference-step';
import { batchOfStep } from './batch-of-step';
import type { LayerwiseRun } from './heal-layerwise';
import { trainingBatch } from './training-batch';

export interface LayerStream {
  student: HiddenStates;
  teacher: HiddenStates;
  /** What masks and positions are made of, when they are needed. */
  places: ReferencePlaces;
}

/** All rows in batches, and as many again with mixed pictures as the plan asks for. */
export async function embedStreams(run: LayerwiseRun): Promise<LayerStream[]> {
  const { source, processor, plan, signal, keepHidden = keepInMemory } = run;
  const rows = rememberMedia(questionRows(run.questions));
  const { batchSize, seed, mix } = plan;
  const plain = Math.ceil(rows.length / batchSize);
  const mixed = Math.round((plain * mix) / (1 - mix));
  const streams: LayerStream[] = [];
  return withEmbedder(source, async (embed) => {
    try {
      for (let i = 0; i < plain + mixed; i++) {
        signal?.throwIfAborted();
        await yieldToEventLoop();
        const chosen = batchOfStep(i % plain, { count: rows.length, batchSize, seed });
        const own = chosen.map((row) => rows[row]!);
        const packed = await trainingBatch(source, processor, own, {
          mixed: i < plain ? 0 : chosen.length,
          others: rows,
          random: seededRandom(Math.imul(seed + 1, 0x85ebca6b) + i),
        });
        const embedded = embed(packed.inputs);
        const teacher = await keepHidden(tf.clone(embedded));
        streams.push({ teacher, student: await keepHidden(embedded), places: placesOf(packed) });
      }
      return streams;
    } catch (error) {
      for (const stream of streams) disposeStream(stream);
      throw error;
    }
  });
}

export function disposeStream({ student, teacher }: LayerStream): void {
  student.dispose();
  teacher.dispose();
}

/** Without the pictures, which have been seen. */
function placesOf({ inputs, positionIds, branches }: ReferencePlaces): ReferencePlaces {
  const { inputIds, attentionMask, batch, length } = inputs;
  return { inputs: { inputIds, attentionMask, batch, length }, positionIds, branches };
}

/** Masks and positions of a stream while `use` runs: at real size they are larger than its states. */
export async function withStep<T>(
  config: VlmConfig,
  { places }: LayerStream,
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
 * Bring both sides to the next layer's input.
 * @param healed the student's layer, by names below `layers.N.`.
 */
export async function advanceStreams(
  { source, original, signal }: LayerwiseRun,
  streams: readonly LayerStream[],
  index: number,
  healed: LayerWeights,
): Promise<void> {
  const { decoder } = source.config;
  if (index + 1 === decoder.numHiddenLayers) return;
  const reader = layerReader(healed, index, source.weights);
  const student = await loadDecoderLayer(decoder, reader, index);
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
          await withHidden(hidden, (states) => hidden.write(layer.prefill(states, step)));
        }
      });
    }
  } finally {
    student.dispose();
    teacher.dispose();
  }
}
