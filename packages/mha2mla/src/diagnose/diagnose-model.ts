/**
 * Predict what a conversion will cost, before it is done: the calibrating and the factoring pass of
 * a conversion that propagates the original, of which nothing is written. Its errors are exactly
 * those that such a conversion reports.
 */
import { type LinearAlgebra, loadLinearAlgebra } from '@mha2mla/lowrank';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import type { LayerCalibration } from '../convert/calibrate-layer';
import type { LayerJob } from '../convert/convert-layer';
import type { ConvertOptions } from '../convert/convert-options';
import { factorLayer } from '../convert/factor-layer';
import { type KeepHidden, withHidden } from '../convert/hidden-states';
import { inlineRunner } from '../convert/inline-runner';
import type { Modality } from '../convert/modality-mask';
import { planRanks } from '../convert/plan-ranks';
import { plannedCacheBytes } from '../convert/planned-cache-bytes';
import { prepareConversion } from '../convert/prepare-conversion';
import type { FactorRunner } from '../convert/run-factor-job';
import { withCalibration } from '../convert/with-calibration';
import { memoryOutput } from '../output/result-output';
import { assertOriginal } from './assert-original';
import type { Diagnosis, LayerDiagnosis, ModalityDiagnosis } from './diagnosis';
import { findAlarms } from './find-alarms';
import { type KeyBias, keyBiases } from './key-bias';
import { momentCondition } from './moment-condition';
import { attentionSink, massiveTokens, tokenNorms } from './sink-tokens';

/** Options of `diagnoseModel`. */
export interface DiagnoseOptions extends ConvertOptions {
  /** Batches of calibration samples, as the processor gives them; at least one. */
  calibration: readonly ModelInputs[];
  factorize?: FactorRunner;
  keepHidden?: KeepHidden;
  signal?: AbortSignal;
  /** Called after each layer, by phase. */
  onProgress?: (progress: { phase: 'measure' | 'diagnose'; loaded: number; total: number }) => void;
}

/**
 * @throws RangeError before any work for options that do not fit, without samples, or without
 *   latents (factor none); the signal's reason when aborted.
 */
export async function diagnoseModel(
  original: VlmSource,
  { factorize = inlineRunner, keepHidden, signal, onProgress, ...options }: DiagnoseOptions,
): Promise<Diagnosis> {
  assertOriginal(original.config);
  if (options.factor === 'none') {
    throw new RangeError('diagnoseModel: factor must make latents, got none: it loses nothing.');
  }
  if (options.calibration.length === 0) {
    throw new RangeError('diagnoseModel: expected calibration samples, got none.');
  }
  const prepared = prepareConversion(original, { ...options, propagate: 'original' });
  const { source, plan: given, calibration } = prepared;
  const config = original.config.decoder;
  const biases = await keyBiases(config, source.weights);
  const run = { source, output: memoryOutput(), factorize, signal };
  const chosen = await planRanks({ ...run, plan: given, calibration, keepHidden, onProgress });
  // Attention is looked at whatever the choice of pairs needs.
  const plan = { ...chosen, needsCalibration: true, needsAttention: true };
  const layers = await examineLayers({ ...run, plan, keepHidden }, calibration, biases, onProgress);
  const { vision, text } = plannedCacheBytes(config, plan);
  return {
    ropeDim: plan.ropeDim,
    latentRanks: plan.latentRanks,
    cacheBytesPerToken: {
      original: cacheBytesPerToken(config, source.weights).text,
      converted: (vision + text) / 2,
    },
    layers,
    alarms: findAlarms(layers),
  };
}

async function examineLayers(
  { keepHidden, ...run }: Omit<LayerJob, 'batches' | 'index'> & { keepHidden?: KeepHidden },
  calibration: readonly ModelInputs[],
  biases: readonly (KeyBias | undefined)[],
  onProgress: DiagnoseOptions['onProgress'],
): Promise<LayerDiagnosis[]> {
  const { source, signal } = run;
  const la = await loadLinearAlgebra();
  const total = source.config.decoder.numHiddenLayers;
  const layers: LayerDiagnosis[] = [];
  await withCalibration(source, calibration, { signal, keepHidden }, async (batches) => {
    for (let index = 0; index < total; index++) {
      signal?.throwIfAborted();
      layers.push(await examineLayer(la, { ...run, batches, index }, biases[index]));
      onProgress?.({ phase: 'diagnose', loaded: index + 1, total });
    }
  });
  return layers;
}

async function examineLayer(
  la: LinearAlgebra,
  job: LayerJob,
  keyBias: KeyBias | undefined,
): Promise<LayerDiagnosis> {
  const { source, plan, batches, index } = job;
  const norms: number[] = [];
  for (const { hidden, step } of batches) {
    const found = await withHidden(hidden, (states) => tokenNorms(states, step.layout.kinds));
    norms.push(...found);
  }
  let moments: LayerCalibration['moments'] | undefined;
  let sink: LayerDiagnosis['sink'];
  const onCalibrated = async (calibration: LayerCalibration) => {
    moments = calibration.moments;
    const found = await attentionSink(source.config.decoder, calibration.samples);
    sink = found && { ...found, ...massiveTokens(norms) };
  };
  const { factored } = await factorLayer({ ...job, onCalibrated });
  const part = (modality: Modality): ModalityDiagnosis | undefined => {
    const report = factored.reports[modality];
    return (
      report && {
        rank: plan.latentRanks[modality][index]!,
        tailEnergy: 1 - report.retainedEnergy,
        relativeError: report.relativeError,
        tokens: report.tokens,
        usedFallback: report.usedFallback,
        moment: moments && momentCondition(la, moments[modality]),
      }
    );
  };
  return { layer: index, vision: part('vision'), text: part('text'), sink, keyBias };
}
