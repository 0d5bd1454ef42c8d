/**
 * See what a layer does to the calibration samples, in one pass over its input: MKL scores of its
 * rotary pairs, and per modality the second moments of what its K and V projections read.
 */

import { SecondMoment } from '@mha2mla/lowrank';
import type { AttentionObservation, DecoderConfig, DecoderLayer } from '@mha2mla/mla-runtime';
import {
  type AttentionSample,
  addMklScores,
  emptyMklSums,
  type MklSums,
} from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import { attentionSamples } from './attention-samples';
import { advanceBatch, type CalibrationBatch } from './calibration-batch';
import { type Modality, modalityMask } from './mask-of-kinds';

export interface LayerCalibration {
  mkl: MklSums;
  /** The samples that MKL saw, for fitting what takes the place of the rotation. */
  samples: AttentionSample[];
  moments: Record<Modality, SecondMoment>;
}

export interface CalibrateOptions {
  /** Samples whose attention is looked at; 0 where no choice depends on it. */
  attentionSamples: number;
  /** Query rows of such a sample that are looked at. */
  attentionRows: number;
  /** Whether moments are needed. */
  moments: boolean;
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
    mkl: emptyMklSums(config),
    samples: [],
    moments: { vision: new SecondMoment(hiddenSize), text: new SecondMoment(hiddenSize) },
  };
  let samplesLeft = options.attentionSamples;
  for (const batch of batches) {
    options.signal?.throwIfAborted();
    const { output, seen } = observeLayer(layer, batch);
    try {
      if (options.moments) await addMoments(calibration.moments, seen.input, batch);
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
        for (const sample of samples) addMklScores(calibration.mkl, sample, config);
        calibration.samples.push(...samples);
        samplesLeft -= samples.length;
      }
    } finally {
      tf.dispose([seen.input, seen.query, seen.key]);
    }
    if (options.advance) advanceBatch(batch, output);
    else output.dispose();
  }
  return calibration;
}

type Seen = Pick<AttentionObservation, 'input' | 'query' | 'key'>;

function observeLayer(
  layer: DecoderLayer,
  { hidden, step }: CalibrationBatch,
): { output: tf.Tensor3D; seen: Seen } {
  let seen: Seen | undefined;
  const output = layer.prefill(hidden, step, {
    observe: ({ input, query, key }) => {
      seen = {
        input: tf.keep(tf.clone(input)),
        query: tf.keep(tf.clone(query)),
        key: tf.keep(tf.clone(key)),
      };
    },
  });
  return { output, seen: seen! };
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
