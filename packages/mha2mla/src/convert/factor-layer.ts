/** Calibrate a layer, choose its rotary pairs, and factor what is no longer rotated. */
import { loadDecoderLayer } from '@mha2mla/mla-runtime';
import { attentionWeights } from './attention-weights';
import { type CalibrateOptions, calibrateLayer, type LayerCalibration } from './calibrate-layer';
import { choosePairs } from './choose-pairs';
import type { LayerJob } from './convert-layer';
import type { ConversionPlan } from './convert-options';
import { factorAttention } from './factor-attention';
import { fitUnrotation } from './fit-unrotation';
import { readAttention, storedLayer } from './layer-source';
import type { LayerWeights } from './layer-weights';
import { scorePairs } from './score-pairs';
import { splitAttention } from './split-attention';

/** Samples whose attention is looked at, and query rows of each: what scores and the fit need to settle. */
const ATTENTION_SAMPLES = 32;
const ATTENTION_ROWS = 64;

export type FactorLayerJob = Omit<LayerJob, 'output'>;

/** Samples of the attention that a batch gives, after so many samples of batches before it. */
export function attentionSamplesLeft(plan: ConversionPlan, before: number): number {
  return plan.needsAttention ? Math.max(0, ATTENTION_SAMPLES - before) : 0;
}

/** Calibrate a layer, choose its pairs, and factor what is not rotated. */
export async function factorLayer(job: FactorLayerJob) {
  const { source, plan, index, signal } = job;
  const { pairs, scores, split, moments, outputWeights } = await splitLayer(job);
  const config = source.config.decoder;
  const options = { index, outputWeights, signal };
  const factored = await factorAttention(job.factorize, config, plan, split, moments, options);
  return { pairs, scores, split, factored };
}

/**
 * The part that needs the layer itself: a function of its own, so that its weights and the samples'
 * attention are not held while factors are computed.
 */
async function splitLayer(job: FactorLayerJob) {
  const weights = await readAttention(job.source, storedLayer(job.source, job.index));
  const calibration = job.plan.needsCalibration
    ? (job.calibrated ?? (await calibrate(job)))
    : undefined;
  if (calibration) await job.onCalibrated?.(calibration);
  return { ...(await splitCalibrated(job, weights, calibration)), moments: calibration?.moments };
}

/** Choose a layer's pairs, and put what keeps its rotation apart from what is then factored. */
export async function splitCalibrated(
  { source, plan, index, signal }: FactorLayerJob,
  weights: LayerWeights,
  calibration: LayerCalibration | undefined,
) {
  const config = source.config.decoder;
  const scores = await scorePairs(config, plan, calibration?.samples ?? [], signal);
  const pairs = choosePairs(config, plan, index, scores);
  const unrotation = await fitUnrotation(config, plan, pairs, calibration, signal);
  const split = splitAttention(config, weights, pairs, unrotation);
  const attention = calibration?.attention;
  const outputWeights =
    attention && (await attentionWeights(config, weights, pairs, unrotation, attention));
  return { pairs, scores, unrotation, split, outputWeights };
}

/** See what the original layer does to the samples. */
export async function calibrate(
  { source, plan, batches, index, signal }: FactorLayerJob,
  options: Partial<CalibrateOptions> = {},
) {
  const config = source.config.decoder;
  const original = await loadDecoderLayer(config, source.weights, index);
  try {
    return await calibrateLayer(config, original, batches, {
      attentionSamples: attentionSamplesLeft(plan, 0),
      attentionRows: ATTENTION_ROWS,
      moments: plan.init !== 'weights' && plan.factor !== 'none',
      attention: plan.init === 'attention' && plan.factor !== 'none',
      advance: plan.propagate === 'original',
      signal,
      ...options,
    });
  } finally {
    original.dispose();
  }
}
