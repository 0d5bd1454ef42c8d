/**
 * Factor a layer's un-rotated keys and its values into latents, one a modality or one for both
 * (modality-decoupled low rank, FORMULAS F5), and lay them out as converted checkpoints do.
 * Biases stay on the up-projections; with `center`, each modality's mean adds to its own.
 */
import { type SecondMoment, withFallback } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionWeights } from './attention-weights';
import type { LayerCalibration } from './calibrate-layer';
import type { ConversionPlan } from './convert-options';
import { factorJobs, joinFactors } from './factor-jobs';
import type { LayerTensor } from './layer-weights';
import type { Modality } from './modality-mask';
import type { FactorRunner } from './run-factor-job';
import type { Spectrum } from './spectrum';
import type { Projected, SplitAttention } from './split-attention';

export interface FactorReport {
  /** Error of what was factored, relative to its energy: of keys and values as `init` weighs them. */
  relativeError: number;
  retainedEnergy: number;
  /** Tokens whose activations were seen; 0 for factors of the weights alone. */
  tokens: number;
  /** Whether a modality with too few tokens leaned on the other. */
  usedFallback: boolean;
  /** What latents of other widths would have dropped. */
  spectrum: Spectrum;
}

export interface FactoredAttention {
  /** By name below `layers.N.`. */
  tensors: Map<string, LayerTensor>;
  reports: Partial<Record<Modality, FactorReport>>;
  /** What each rank up to the plan's would lose; empty where there are no latents. */
  errors: Partial<Record<Modality, number[]>>;
}

/**
 * @param run where the factorisations are done; all of the layer's are given at once.
 */
export async function factorAttention(
  run: FactorRunner,
  config: DecoderConfig,
  plan: ConversionPlan,
  { key, value }: Pick<SplitAttention, 'key' | 'value'>,
  moments: LayerCalibration['moments'] | undefined,
  { signal, ...layer }: LayerFactoring & { signal?: AbortSignal },
): Promise<FactoredAttention> {
  const tensors = new Map<string, LayerTensor>();
  const reports: FactoredAttention['reports'] = {};
  const errors: FactoredAttention['errors'] = {};
  if (plan.factor === 'none') {
    addProjected(tensors, 'kv_proj.up_k', key);
    addProjected(tensors, 'kv_proj.up_v', value);
    return { tensors, reports, errors };
  }
  const folders = foldersOf(config, plan, { key, value }, moments, layer);
  const results = await run(
    folders.flatMap(({ jobs }) => jobs),
    signal,
  );
  for (const { folder, modalities, tokens, usedFallback, jobs } of folders) {
    const found = joinFactors(plan, { key, value }, jobs, results.splice(0, jobs.length));
    for (const [part, tensor] of found.tensors) tensors.set(`self_attn.${folder}.${part}`, tensor);
    addBias(tensors, `${folder}.up_k`, key, found.offsets.key);
    addBias(tensors, `${folder}.up_v`, value, found.offsets.value);
    const { relativeError, retainedEnergy, spectrum } = found;
    const report = { relativeError, retainedEnergy, tokens, usedFallback, spectrum };
    for (const modality of modalities) {
      reports[modality] = report;
      errors[modality] = found.errors;
    }
  }
  return { tensors, reports, errors };
}

interface LayerFactoring {
  /** Of the layer. */
  index: number;
  /** What errors of keys and values cost, for init `attention`. */
  outputWeights?: AttentionWeights;
}

/** What becomes of a layer's keys and values, folder by folder, and the jobs that it takes. */
function foldersOf(
  config: DecoderConfig,
  plan: ConversionPlan,
  sides: Pick<SplitAttention, 'key' | 'value'>,
  moments: LayerCalibration['moments'] | undefined,
  { index, outputWeights }: LayerFactoring,
) {
  const joint = plan.init === 'weights' ? undefined : moments?.vision.clone().merge(moments.text);
  return modalitiesByFolder(plan).map(([folder, modalities]) => {
    // Modalities that share a latent have one rank.
    const rank = plan.latentRanks[modalities[0]!][index]!;
    const input = momentOf(plan, rank * config.numKeyValueHeads, moments, joint, modalities);
    const name = [`layer ${index}`, ...modalities].join(', ');
    const job = { name, rank, moment: input?.moment, mean: input?.mean, outputWeights };
    const { tokens = 0, usedFallback = false } = input ?? {};
    const jobs = factorJobs(config, plan, sides, job);
    return { folder, modalities, tokens, usedFallback, jobs };
  });
}

function modalitiesByFolder({ decouple }: ConversionPlan): [string, Modality[]][] {
  return decouple
    ? [
        ['kv_proj_img', ['vision']],
        ['kv_proj_text', ['text']],
      ]
    : [['kv_proj', ['vision', 'text']]];
}

/**
 * Second moment of what a folder's tokens feed into K and V; absent for weight-only factors.
 * @param width latent dims of all KV heads.
 * @param joint of both modalities.
 */
function momentOf(
  plan: ConversionPlan,
  width: number,
  moments: LayerCalibration['moments'] | undefined,
  joint: SecondMoment | undefined,
  modalities: readonly Modality[],
) {
  if (plan.init === 'weights') return undefined;
  if (!moments || !joint) throw new Error('factorAttention: expected calibration, got none.');
  if (modalities.length > 1) {
    return {
      moment: plan.center ? joint.centered() : joint.normalized(),
      mean: plan.center ? joint.mean() : undefined,
      tokens: joint.count,
      usedFallback: false,
    };
  }
  const own = moments[modalities[0]!];
  // Each group of heads, and each of K and V where they are apart, is a factorisation of its own.
  const found = withFallback(own, joint, { rank: width / plan.groups, center: plan.center });
  return { mean: undefined, ...found, tokens: own.count };
}

function addProjected(tensors: Map<string, LayerTensor>, name: string, projected: Projected): void {
  tensors.set(`self_attn.${name}.weight`, projected.weight);
  addBias(tensors, name, projected);
}

/** @param offset what is added to the bias, which a model without biases gets by it. */
function addBias(
  tensors: Map<string, LayerTensor>,
  name: string,
  { bias }: Projected,
  offset?: Float32Array,
): void {
  const values = offset?.map((value, i) => value + (bias?.values[i] ?? 0)) ?? bias?.values;
  if (values) tensors.set(`self_attn.${name}.bias`, { shape: [values.length], values });
}
