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
import { type Modality, modalityMask } from './modality-mask';

export interface LayerCalibration {
  /** For choosing rotary pairs, and for fitting what takes the place of the others' rotation. */
  samples: AttentionSample[];
  moments: Record<Modality, SecondMoment>;
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
    moments: { vision: new SecondMoment(hiddenSize), text: new SecondMoment(hiddenSize) },
    attention: options.attention ? new AttentionMoments(config) : undefined,
  };
  let samplesLeft = options.attentionSamples;
  for (const batch of batches) {
    await yieldToEventLoop();
    options.signal?.throwIfAborted();
    const seen = await observeLayer(layer, batch);
    try {
      if (options.moments) await addMoments(calibration.moments, seen.input, batch);
      if (calibration.attention) await addQueries(calibration.attention, seen.query, batch);
      if (samplesLeft > 0) {
        const [query, key] = await Promise.all([seen.query.data(), seen.key.data()]);
        const samples = attentionSamples(
          config,
          batch,
          query,
          key,
          options.attentionRows,
          samplesLeft,
        );
        if (calibration.attention) {
          await addEffects(config, calibration.attention, layer, seen.input, samples);
        }
        calibration.samples.push(...samples);
        samplesLeft -= samples.length;
      }
      if (options.advance) await batch.hidden.write(tf.clone(seen.output));
    } finally {
      tf.dispose([seen.input, seen.query, seen.key, seen.output]);
    }
  }
  return calibration;
}

/** What a layer's attention saw, and the layer's output; the caller disposes all four. */
type Seen = Pick<AttentionObservation, 'input' | 'query' | 'key'> & { output: tf.Tensor3D };

async function observeLayer(
  layer: DecoderLayer,
  { hidden, step }: CalibrationBatch,
): Promise<Seen> {
  let seen: Omit<Seen, 'output'> | undefined;
  const states = await hidden.read();
  try {
    const output = layer.prefill(states, step, {
      observe: ({ input, query, key }) => {
        seen = {
          input: tf.keep(tf.clone(input)),
          query: tf.keep(tf.clone(query)),
          key: tf.keep(tf.clone(key)),
        };
      },
    });
    return { ...seen!, output };
  } finally {
    states.dispose();
  }
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

/** @param samples of the batch's first rows. */
async function addEffects(
  config: DecoderConfig,
  attention: AttentionMoments,
  { projections }: DecoderLayer,
  input: tf.Tensor3D,
  samples: readonly AttentionSample[],
): Promise<void> {
  const grams = tf.tidy(() => outputGrams(projections.get('self_attn.o_proj')!.weight(), config));
  const values = tf.tidy(() =>
    tf.unstack(projections.get('self_attn.v_proj')!.apply(input)).slice(0, samples.length),
  );
  try {
    for (const [row, sample] of samples.entries()) {
      attention.addEffects(await headEffects(config, sample, values[row] as tf.Tensor2D, grams));
    }
  } finally {
    tf.dispose([grams, values]);
  }
}
