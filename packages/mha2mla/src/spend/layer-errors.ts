/**
 * What a layer loses by each choice of rotary dims, rank and bits, on the activations of the
 * original. Bits of rotary keys are taken to know nothing of the rest, and add up with it.
 */
import { cacheStorage, LATENT_FOLDERS } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { attentionShares } from '../convert/attention-shares';
import type { LayerCalibration } from '../convert/calibrate-layer';
import type { LayerJob } from '../convert/convert-layer';
import type { ConversionPlan } from '../convert/convert-options';
import { factorAttention } from '../convert/factor-attention';
import { calibrate, splitCalibrated } from '../convert/factor-layer';
import { outputGrams } from '../convert/head-effects';
import { uniformRanks } from '../convert/latent-ranks';
import { readAttention, storedLayer } from '../convert/layer-source';
import type { LayerWeights } from '../convert/layer-weights';
import type { Modality } from '../convert/modality-mask';
import { residualScale } from '../convert/residual-scale';
import { attentionErrors } from './attention-errors';
import { type CacheForm, cacheForms } from './cache-forms';
import { convertedSample } from './converted-sample';
import { rotaryCosts, rotaryErrors } from './rotary-errors';

/** Tokens whose attention is looked at, in whole samples: an error is a mean over their rows and heads. */
const TOKENS = 2048;

export interface LayerErrors {
  /** Size of the residual stream that the output is added to. */
  residual: number;
  /** What each modality's keys weigh in the attention. */
  shares: Record<Modality, number>;
  /** By rotary dims a head. */
  byRopeDim: Record<number, RopeDimErrors>;
}

export interface RopeDimErrors {
  ranks: number[];
  /** Of the output, by bits of latents, at each of the ranks. */
  latents: Record<number, number[]>;
  /** Of a cached token at p = 1, by bits of rotary keys. */
  rotary: Record<number, Record<Modality, number>>;
}

export interface LayerErrorsJob extends LayerJob {
  /** By rotary dims, the ranks to look at. */
  ranks: ReadonlyMap<number, readonly number[]>;
}

/** Measure a layer's errors, and bring the samples to the next layer. */
export async function layerErrors(job: LayerErrorsJob): Promise<LayerErrors> {
  const { source, index, ranks, batches } = job;
  const residual = await residualScale(batches);
  const weights = await readAttention(source, storedLayer(source, index));
  const calibration = await calibrate(job, { attention: true, inputs: true, advance: true });
  const shares = await attentionShares(source.config.decoder, calibration.samples);
  const byRopeDim: LayerErrors['byRopeDim'] = {};
  for (const [ropeDim, own] of ranks) {
    const latentRanks = uniformRanks(own.at(-1)!, source.config.decoder.numHiddenLayers);
    const plan = { ...job.plan, ropeDim, latentRanks };
    byRopeDim[ropeDim] = await ropeDimErrors({ ...job, plan }, own, weights, calibration);
  }
  return { residual, shares, byRopeDim };
}

async function ropeDimErrors(
  job: LayerJob,
  ranks: readonly number[],
  weights: LayerWeights,
  calibration: LayerCalibration,
): Promise<RopeDimErrors> {
  const { source, plan, index, signal, factorize } = job;
  const { decoder: config } = source.config;
  const found = await splitCalibrated(job, weights, calibration);
  const { pairs, unrotation, split, outputWeights } = found;
  const { tensors } = await factorAttention(factorize, config, plan, split, calibration.moments, {
    ...{ index, signal },
    ...(plan.init === 'attention' && { outputWeights }),
  });
  const form = {
    weights,
    tensors,
    pairs,
    unrotation,
    groups: plan.groups,
    folders: foldersOf(plan),
  };
  const looked = fewSamples(calibration);
  const forms = cacheForms(plan.cache);
  const latentBits = distinct(forms, 'kvBits');
  const specs = latentBits.map((bits) => specsOf(plan, index, 'kvLatent', bits));
  const samples = looked.map(({ sample, input }) => convertedSample(config, sample, input, form));
  const grams = gramsOf(config, weights);
  const errors: RopeDimErrors = { ranks: [...ranks], latents: {}, rotary: {} };
  try {
    const all = await attentionErrors(config, samples, grams, { ranks, specs });
    for (const [i, { kvBits }] of latentBits.entries()) errors.latents[kvBits] = all[i]!;
  } finally {
    grams.dispose();
    for (const sample of samples) sample.dispose();
  }
  signal?.throwIfAborted();
  const costs = rotaryCosts(config, pairs, calibration.attention!);
  const keys = split.rotary.get('self_attn.k_r_proj.weight')!;
  const rotaryBits = distinct(forms, 'ropeBits');
  const rotarySpecs = rotaryBits.map((bits) => specsOf(plan, index, 'kPe', bits));
  const rotary = await rotaryErrors(looked, keys, costs, rotarySpecs);
  for (const [i, { ropeBits }] of rotaryBits.entries()) errors.rotary[ropeBits] = rotary[i]!;
  return errors;
}

/** The first samples, as far as tokens go, and what their keys are projected from. */
function fewSamples({ samples, inputs }: LayerCalibration) {
  let tokens = 0;
  const paired = samples.map((sample, i) => ({ sample, input: inputs[i]! }));
  return paired.filter(({ sample }) => {
    const before = tokens;
    tokens += sample.keyMask!.length;
    return before < TOKENS;
  });
}

function foldersOf({ decouple }: ConversionPlan): Record<Modality, string> {
  const folder = (modality: Modality) => `self_attn.${LATENT_FOLDERS[decouple ? modality : 'all']}`;
  return { vision: folder('vision'), text: folder('text') };
}

/** How a part of each modality's segment is stored. */
function specsOf(plan: ConversionPlan, index: number, part: 'kvLatent' | 'kPe', bits: CacheForm) {
  const own = (modality: Modality) => {
    const segment = plan.decouple ? modality : 'all';
    return cacheStorage(index, segment, part, { ...plan.cache, ...bits }).spec!;
  };
  return { vision: own('vision'), text: own('text') };
}

/** The first form with each number of bits. */
function distinct(forms: readonly CacheForm[], key: keyof CacheForm): CacheForm[] {
  return forms.filter((form, i) => forms.findIndex((one) => one[key] === form[key]) === i);
}

/** Woᵀ Wo of each head. */
function gramsOf(config: Parameters<typeof outputGrams>[1], weights: LayerWeights): tf.Tensor3D {
  const { shape, values } = weights.get('self_attn.o_proj.weight')!;
  return tf.tidy(() =>
    outputGrams(tf.transpose(tf.tensor2d(values, shape as [number, number])), config),
  );
}
