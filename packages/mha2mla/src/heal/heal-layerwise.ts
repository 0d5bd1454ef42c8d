/**
 * Heal layer by layer: the student's layer learns to give, for what the layers healed before it
 * give it, what the original's layer gives for its own input. No labels, no vocabulary, one layer of
 * each model at a time: memory does not grow with depth, and a stopped run goes on behind the layers
 * that it had finished.
 */
import { loadDecoderLayer, type PrefillStep, yieldToEventLoop } from '@mha2mla/mla-runtime';
import { AdamW, clipByGlobalNorm, outputMatchingLoss, valueAndGrads } from '@mha2mla/peft';
import type { Processor, VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import {
  type HiddenStates,
  type KeepHidden,
  keepInMemory,
  withHidden,
} from '../convert/hidden-states';
import { type LayerTensor, layerReader } from '../convert/layer-weights';
import { withEmbedder } from '../convert/with-embedder';
import type { Question } from '../data/question';
import { questionRows } from '../data/question-rows';
import { rememberMedia } from '../data/remember-media';
import { embedReferences } from '../evaluate/embed-references';
import type { ResultOutput } from '../output/result-output';
import { seededRandom } from '../seeded-random';
import { storedNames } from './assert-healable';
import { attachToLayers } from './attach-adapters';
import { batchOfStep } from './batch-of-step';
import { MAX_GRADIENT_NORM } from './heal-model';
import type { HealPlan } from './heal-options';
import { healSchedule } from './heal-schedule';
import { readHealedLayer, writeHealedLayer } from './healed-layer';
import type { MergedWeights } from './merge-adapters';
import { trainingBatch } from './training-batch';

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

export interface LayerwiseReport {
  steps: number;
  /** Of the linear maps of the language model's layers, and the adapters. */
  trainableShare: number;
  /** Means over the layers, of the relative squared error of what a layer gives. */
  loss: { first: number; last: number };
  /** Of each update of each layer, before it. */
  losses: number[];
}

/** Rows on their way through the layers. */
interface Stream {
  student: HiddenStates;
  teacher: HiddenStates;
  step: PrefillStep;
  /** [B, L], 0 at padding. */
  mask: tf.Tensor2D;
}

/**
 * @returns the report, and the healed weights by the decoder's names.
 * @throws RangeError for models that do not fit, no question, or a loss that is no number; the
 *   signal's reason when aborted.
 */
export async function healLayerwise(
  run: LayerwiseRun,
): Promise<{ report: LayerwiseReport; merged: MergedWeights }> {
  checkRun(run);
  const { source, output, plan, onProgress } = run;
  const layers = source.config.decoder.numHiddenLayers;
  const merged = new Map<string, Float32Array>();
  const losses: number[] = [];
  const sizes = { trained: 0, total: 0 };
  const streams = await embedRows(run);
  try {
    for (let index = 0; index < layers; index++) {
      const name = layerName(index);
      const healed = (await output.has(name))
        ? await readHealedLayer(output, name)
        : await healLayer(run, streams, index);
      if (!(await output.has(name))) await writeHealedLayer(output, name, healed);
      await advance(run, streams, index, healed.weights);
      for (const [weight, { values }] of healed.weights) merged.set(weight, values);
      losses.push(...healed.losses);
      sizes.trained += healed.trained;
      sizes.total += healed.total;
      onProgress?.({ phase: 'heal', loaded: losses.length, total: layers * plan.steps });
    }
  } finally {
    for (const stream of streams) disposeStream(stream);
  }
  const meanAt = (step: number) =>
    Array.from({ length: layers }, (_, i) => losses[i * plan.steps + step]!).reduce(
      (sum, loss) => sum + loss / layers,
      0,
    );
  const loss = { first: meanAt(0), last: meanAt(plan.steps - 1) };
  const trainableShare = sizes.trained / sizes.total;
  return { report: { steps: losses.length, trainableShare, loss, losses }, merged };
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

/** All rows in batches, and as many again with mixed pictures as the plan asks for. */
async function embedRows(run: LayerwiseRun): Promise<Stream[]> {
  const { source, processor, questions, plan, signal, keepHidden = keepInMemory } = run;
  const rows = rememberMedia(questionRows(questions));
  const { batchSize, seed, mix } = plan;
  const plain = Math.ceil(rows.length / batchSize);
  const mixed = Math.round((plain * mix) / (1 - mix));
  const streams: Stream[] = [];
  return withEmbedder(source, async (embed) => {
    try {
      for (let i = 0; i < plain + mixed; i++) {
        signal?.throwIfAborted();
        await yieldToEventLoop();
        const chosen = batchOfStep(i % plain, { count: rows.length, batchSize, seed });
        const packed = await trainingBatch(
          source,
          processor,
          chosen.map((row) => rows[row]!),
          {
            mixed: i < plain ? 0 : chosen.length,
            others: rows,
            random: seededRandom(Math.imul(seed + 1, 0x85ebca6b) + i),
          },
        );
        const { inputsEmbeds, step } = embedReferences({ config: source.config, embed }, packed);
        const { batch, length, attentionMask } = packed.inputs;
        const mask = tf.tensor2d(Float32Array.from(attentionMask), [batch, length]);
        const teacher = await keepHidden(tf.clone(inputsEmbeds));
        streams.push({ student: await keepHidden(inputsEmbeds), teacher, step, mask });
      }
      return streams;
    } catch (error) {
      for (const stream of streams) disposeStream(stream);
      throw error;
    }
  });
}

function disposeStream({ student, teacher, step, mask }: Stream): void {
  for (const part of [student, teacher, step, mask]) part.dispose();
}

/** What a layer's healing came to. */
export interface HealedLayer {
  /** By the decoder's names, laid out as on disk. */
  weights: ReadonlyMap<string, LayerTensor>;
  losses: number[];
  /** Numbers that were trained, and of all linear maps and adapters. */
  trained: number;
  total: number;
}

async function healLayer(
  run: LayerwiseRun,
  streams: readonly Stream[],
  index: number,
): Promise<HealedLayer> {
  const { source, original, plan, signal, onProgress } = run;
  const student = await loadDecoderLayer(source.config.decoder, source.weights, index);
  const teacher = await loadDecoderLayer(original.config.decoder, original.weights, index);
  const maps = [...student.projections.values()];
  const frozen = maps.reduce((sum, map) => sum + map.inFeatures * map.outFeatures, 0);
  const seed = plan.seed + 1000 * index;
  const adapters = attachToLayers(new Map([[index, student]]), { ...plan, seed });
  const optimizer = new AdamW(adapters.parameters, { weightDecay: plan.weightDecay });
  const rate = healSchedule(plan);
  const total = source.config.decoder.numHiddenLayers * plan.steps;
  const losses: number[] = [];
  try {
    storedNames(source, [...adapters.changed.keys()]);
    for (let step = 0; step < plan.steps; step++) {
      await yieldToEventLoop();
      signal?.throwIfAborted();
      const [at] = batchOfStep(step, { count: streams.length, batchSize: 1, seed });
      const stream = streams[at!]!;
      const target = await withHidden(stream.teacher, (x) => teacher.prefill(x, stream.step));
      const loss = await withHidden(stream.student, async (x) => {
        const lossFn = () =>
          outputMatchingLoss(student.prefill(x, stream.step), target, { mask: stream.mask });
        const allowMissing = stream.step.only !== undefined;
        const { value, grads } = valueAndGrads(lossFn, adapters.parameters, { allowMissing });
        const clipped = clipByGlobalNorm(grads, MAX_GRADIENT_NORM);
        const [found, norm] = [(await value.data())[0]!, (await clipped.norm.data())[0]!];
        const finite = Number.isFinite(found) && Number.isFinite(norm);
        if (finite) optimizer.step(clipped.grads, rate(step));
        tf.dispose([value, grads, clipped.grads, clipped.norm] as tf.TensorContainer);
        return finite ? found : Number.NaN;
      });
      target.dispose();
      if (Number.isNaN(loss)) {
        throw new RangeError(
          `healLayerwise: loss and gradients must stay finite, got others in layer ${index} at update ${step + 1}. Layers that were finished are kept: lower the learning rate and start anew.`,
        );
      }
      losses.push(loss);
      onProgress?.({ phase: 'heal', loaded: index * plan.steps + step + 1, total });
    }
    const weights = new Map<string, LayerTensor>();
    for (const [name, read] of adapters.changed) {
      const weight = read();
      weights.set(name, {
        shape: weight.shape,
        values: (await weight.data()) as Float32Array,
      });
      weight.dispose();
    }
    const trained = adapters.parameters.reduce((sum, { variable }) => sum + variable.size, 0);
    return { weights, losses, trained, total: frozen + adapters.added };
  } finally {
    optimizer.dispose();
    adapters.detach();
    student.dispose();
    teacher.dispose();
  }
}

/** Bring both streams to the next layer's input. */
async function advance(
  { source, original, signal }: LayerwiseRun,
  streams: readonly Stream[],
  index: number,
  healed: HealedLayer['weights'],
): Promise<void> {
  if (index + 1 === source.config.decoder.numHiddenLayers) return;
  const prefix = `layers.${index}.`;
  const own = new Map([...healed].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
  const reader = layerReader(own, index, source.weights);
  const student = await loadDecoderLayer(source.config.decoder, reader, index);
  const teacher = await loadDecoderLayer(original.config.decoder, original.weights, index);
  try {
    for (const stream of streams) {
      await yieldToEventLoop();
      signal?.throwIfAborted();
      for (const side of ['student', 'teacher'] as const) {
        const layer = side === 'student' ? student : teacher;
        const hidden = stream[side];
        await withHidden(hidden, (states) => hidden.write(layer.prefill(states, stream.step)));
      }
    }
  } finally {
    student.dispose();
    teacher.dispose();
  }
}
