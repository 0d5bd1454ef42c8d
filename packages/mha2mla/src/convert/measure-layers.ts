/**
 * The pass before a conversion by budget: what each rank of each latent would lose, on the
 * activations of the original model. Each layer's figures are a piece of the output until the run
 * ends, so that a stopped run goes on behind them.
 */
import type { ModelInputs } from '@mha2mla/vlm-adapters';
import { type ResultOutput, readOwnJson, writeJson } from '../output/result-output';
import { attentionShares } from './attention-shares';
import type { LayerJob } from './convert-layer';
import type { ConversionPlan } from './convert-options';
import type { FactoredAttention } from './factor-attention';
import { type FactorLayerJob, factorLayer } from './factor-layer';
import type { KeepHidden } from './hidden-states';
import { uniformRanks } from './latent-ranks';
import type { Modality } from './modality-mask';
import { propagateLayer } from './propagate-layer';
import { residualScale } from './residual-scale';
import { withCalibration } from './with-calibration';

export interface MeasuredLayer {
  /**
   * Error at each rank from 0 (dims a KV head) in units of the attention's output, all energy to
   * what the highest rank loses.
   */
  errors: FactoredAttention['errors'];
  /** What each modality's keys weigh in the attention. */
  shares: Record<Modality, number>;
  /** Size of the residual stream that the output is added to. */
  residual: number;
}

export function measureName(layer: number): string {
  return `measure-${String(layer).padStart(5, '0')}.json`;
}

export interface MeasureRun extends Omit<LayerJob, 'batches' | 'index'> {
  calibration: readonly ModelInputs[];
  keepHidden?: KeepHidden;
  /** Highest rank that is looked at. */
  highest: number;
  /** Layers that are measured. Default all. */
  layers?: number;
  onProgress?: (progress: { phase: 'measure'; loaded: number; total: number }) => void;
}

/** A plan by which layers are measured. @param highest rank that is looked at. */
export function measuringPlan(
  plan: ConversionPlan,
  highest: number,
  layers: number,
): ConversionPlan {
  return {
    ...plan,
    // Errors of all layers in one unit, whatever the factors will be fitted to.
    init: 'attention',
    needsAttention: true,
    propagate: 'original',
    latentRanks: uniformRanks(highest, layers),
  };
}

/** Measure every layer, or take it from an earlier run. */
export async function measureLayers(run: MeasureRun): Promise<MeasuredLayer[]> {
  const { source, output, calibration, keepHidden, highest, signal, onProgress } = run;
  const all = source.config.decoder.numHiddenLayers;
  const total = run.layers ?? all;
  const plan = measuringPlan(run.plan, highest, all);
  const measured: MeasuredLayer[] = [];
  const done = await countDone(output, total);
  const samples = done < total ? calibration : [];
  await withCalibration(source, samples, { signal, keepHidden }, async (batches) => {
    for (let index = 0; index < total; index++) {
      signal?.throwIfAborted();
      const job = { ...run, plan, batches, index };
      measured.push(await (index < done ? resumeLayer(job) : measureLayer(job)));
      onProgress?.({ phase: 'measure', loaded: index + 1, total });
    }
  });
  return measured;
}

/** Layers that an earlier run measured, one after another. */
async function countDone(output: ResultOutput, total: number): Promise<number> {
  let done = 0;
  while (done < total && (await output.has(measureName(done)))) done++;
  return done;
}

async function resumeLayer(job: LayerJob): Promise<MeasuredLayer> {
  const { output, batches, index } = job;
  if (batches.length > 0) await propagateLayer(job, { pairs: [], fresh: new Map() });
  return readOwnJson<MeasuredLayer>(output, measureName(index));
}

async function measureLayer(job: LayerJob): Promise<MeasuredLayer> {
  // Before the calibrating pass brings the samples to the next layer.
  const residual = await residualScale(job.batches);
  const measured = await measureFactors(job, residual);
  await writeJson(job.output, measureName(job.index), measured);
  return measured;
}

/** @param residual of the layer's input. */
export async function measureFactors(
  job: FactorLayerJob,
  residual: number,
): Promise<MeasuredLayer> {
  let shares: MeasuredLayer['shares'] = { vision: 0, text: 0 };
  const onCalibrated: LayerJob['onCalibrated'] = async ({ samples }) => {
    shares = await attentionShares(job.source.config.decoder, samples);
  };
  const { factored } = await factorLayer({ ...job, onCalibrated });
  return { errors: factored.errors, shares, residual };
}
