/**
 * See what a layer does to the calibration samples, in one pass over its input: samples of its
 * attention, and per modality the second moments of what its K and V projections read.
 */
import { SecondMoment } from '@mha2mla/lowrank';
import {
  type AttentionObservation,
  type DecoderConfig,
  type DecoderLayer,
  PADDING,
  yieldToEventLoop,
} from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import { AttentionMoments } from './attention-moments';
import { attentionSamples } from './attention-samples';
import type { CalibrationBatch } from './calibration-batch';
import { headEffects, outputGrams } from './head-effects';
import { withHidden } from './hidden-states';
import { type Modality, modalityMask } from './modality-mask';

export interface LayerCalibration {
  /** For choosing rotary pairs, and for fitting what takes the place of the others' rotation. */
  samples: AttentionSample[];
  moments: Record<Modality, SecondMoment>;
  /** Of each sample what its K and V projections read, [T, D]; empty unless asked for. */
  inputs: Float32Array[];
  /** What attention-aware factors need; absent unless asked for. */
  attention?: AttentionMoments;
}

export interface CalibrateOptions {
  /** Samples whose attention is looked at; 0 where no choice depends on it. */
  attentionSamples: number;
  /** Query rows of such a sample that are looked at. */
  attentionRows: number;
  /** Whether moments are needed. */
  moments: boolean;
  /** Whether the attention's are needed, too; effects are those of the samples. */
  attention?: boolean;
  /** Whether the samples' inputs are kept. */
  inputs?: boolean;
  /** Replace each batch's hidden states by the layer's output. */
  advance: boolean;
  signal?: AbortSignal;
}

/** Run an original layer over all batches and gather its statistics. */
export async function calibrateLayer(
  config: DecoderConfig,
  layer: DecoderLayer,
  batches: readonly CalibrationBatch[],
  options: CalibrateOptions,
): Promise<LayerCalibration> {
  const { hiddenSize } = config;
  const calibration: LayerCalibration = {
    samples: [],
    inputs: [],
    moments: { vision: new SecondMoment(hiddenSize), text: new SecondMoment(hiddenSize) },
    attention: options.attention ? new AttentionMoments(config) : undefined,
  };
  const grams = options.attention ? gramsOf(config, layer) : undefined;
  try {
    for (const batch of batches) {
      await yieldToEventLoop();
      options.signal?.throwIfAborted();
      const seen = await observeLayer(layer, batch);
      try {
        await gather(config, calibration, { layer, seen, batch, grams }, options);
        if (options.advance) await batch.hidden.write(tf.clone(seen.output));
      } finally {
        tf.dispose([seen.input, seen.query, seen.key, seen.output]);
      }
    }
    return calibration;
  } finally {
    grams?.dispose();
  }
}

interface Observed {
  layer: DecoderLayer;
  seen: Seen;
  batch: CalibrationBatch;
  /** Of the layer's output projection, where effects are asked for. */
  grams: tf.Tensor3D | undefined;
}

/** Add what a batch shows. */
async function gather(
  config: DecoderConfig,
  { moments, attention, samples, inputs }: LayerCalibration,
  { layer, seen, batch, grams }: Observed,
  options: CalibrateOptions,
): Promise<void> {
  if (options.moments) await addMoments(moments, seen.input, batch);
  if (attention) await addQueries(attention, seen.query, batch);
  const left = options.attentionSamples - samples.length;
  if (left <= 0) return;
  const [query, key] = await Promise.all([seen.query.data(), seen.key.data()]);
  const own = attentionSamples(config, batch, query, key, options.attentionRows, left);
  if (attention && grams) await addEffects(config, attention, layer, seen.input, own, grams);
  samples.push(...own);
  if (options.inputs) inputs.push(...(await firstRows(seen.input, own.length)));
}

/** The first `count` of [B, L, D], each [L, D]. */
async function firstRows(input: tf.Tensor3D, count: number): Promise<Float32Array[]> {
  const size = input.shape[1] * input.shape[2];
  const values = (await input.data()) as Float32Array;
  return Array.from({ length: count }, (_, row) => values.slice(row * size, (row + 1) * size));
}

/** What a layer's attention saw, and the layer's output; the caller disposes all four. */
type Seen = Pick<AttentionObservation, 'input' | 'query' | 'key'> & { output: tf.Tensor3D };

async function observeLayer(
  layer: DecoderLayer,
  { hidden, step }: CalibrationBatch,
): Promise<Seen> {
  let seen: Omit<Seen, 'output'> | undefined;
  const output = await withHidden(hidden, (states) =>
    layer.prefill(states, step, {
      observe: ({ input, query, key }) => {
        seen = {
          input: tf.keep(tf.clone(input)),
          query: tf.keep(tf.clone(query)),
          key: tf.keep(tf.clone(key)),
        };
      },
    }),
  );
  return { ...seen!, output };
}

async function addMoments(
  moments: Record<Modality, SecondMoment>,
  input: tf.Tensor3D,
  { step }: CalibrationBatch,
): Promise<void> {
  const flat = tf.reshape(input, [-1, input.shape[2]]) as tf.Tensor2D;
  try {
    for (const modality of ['vision', 'text'] as const) {
      await moments[modality].add(flat, modalityMask(step.layout, modality));
    }
  } finally {
    flat.dispose();
  }
}

/** Add the queries of all tokens that are not padding, head by head. */
async function addQueries(
  { queries }: AttentionMoments,
  query: tf.Tensor3D,
  { step }: CalibrationBatch,
): Promise<void> {
  const mask = step.layout.kinds.map((kind) => (kind === PADDING ? 0 : 1));
  const byHead = tf.tidy(() => tf.split(tf.reshape(query, [mask.length, -1]), queries.length, 1));
  try {
    for (const [head, own] of byHead.entries()) await queries[head]!.add(own as tf.Tensor2D, mask);
  } finally {
    tf.dispose(byHead);
  }
}

/** {@link outputGrams} of the layer, which the caller disposes. */
function gramsOf(config: DecoderConfig, { projections }: DecoderLayer): tf.Tensor3D {
  return tf.tidy(() => outputGrams(projections.get('self_attn.o_proj')!.weight(), config));
}

/** @param samples of the batch's first rows. */
async function addEffects(
  config: DecoderConfig,
  attention: AttentionMoments,
  { projections }: DecoderLayer,
  input: tf.Tensor3D,
  samples: readonly AttentionSample[],
  grams: tf.Tensor3D,
): Promise<void> {
  const values = tf.tidy(() =>
    tf.unstack(projections.get('self_attn.v_proj')!.apply(input)).slice(0, samples.length),
  );
  // First those of the batch, so that sums over batches are the same wherever each was seen.
  const own = new AttentionMoments(config);
  try {
    for (const [row, sample] of samples.entries()) {
      own.addEffects(await headEffects(config, sample, values[row] as tf.Tensor2D, grams));
    }
  } finally {
    tf.dispose(values);
  }
  attention.addEffects(own.effects);
}

/**
 * Add what further batches showed of the same layer.
 * @returns `total`, the same to the bit as if one pass had seen all batches in this order.
 */
export function mergeCalibration(
  total: LayerCalibration,
  part: LayerCalibration,
): LayerCalibration {
  total.samples.push(...part.samples);
  total.inputs.push(...part.inputs);
  total.moments.vision.merge(part.moments.vision);
  total.moments.text.merge(part.moments.text);
  if (part.attention) total.attention?.merge(part.attention);
  return total;
}
