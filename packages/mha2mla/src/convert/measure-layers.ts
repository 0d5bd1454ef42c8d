/**
 * The pass before a conversion by budget: what each rank of each latent would lose, on the
 * activations of the original model. Each layer's figures are a piece of the output until the run
 * ends, so that a stopped run goes on behind them.
 */
import type { ModelInputs } from '@mha2mla/vlm-adapters';
import { type ResultOutput, readOwnJson, writeJson } from '../output/result-output';
import { disposeBatch } from './calibration-batch';
import { factorLayer, type LayerJob } from './convert-layer';
import { embedCalibration } from './embed-calibration';
import type { FactoredAttention } from './factor-attention';
import { uniformRanks } from './latent-ranks';
import { readLayer, storedLayer } from './layer-source';
import type { Modality } from './modality-mask';
import { propagateLayer } from './propagate-layer';

export interface MeasuredLayer {
  /** Error at each rank from 0 (dims a KV head), all energy to what the highest rank loses. */
  errors: FactoredAttention['errors'];
  /** Calibration tokens of each modality; 0 where the weights alone were looked at. */
  tokens: Partial<Record<Modality, number>>;
}

export function measureName(layer: number): string {
  return `measure-${String(layer).padStart(5, '0')}.json`;
}

export interface MeasureRun extends Omit<LayerJob, 'batches' | 'index'> {
  calibration: readonly ModelInputs[];
  /** Highest rank that is looked at. */
  highest: number;
  onProgress?: (progress: { phase: 'measure'; loaded: number; total: number }) => void;
}

/** Measure every layer, or take it from an earlier run. */
export async function measureLayers(run: MeasureRun): Promise<MeasuredLayer[]> {
  const { source, output, calibration, highest, signal, onProgress } = run;
  const total = source.config.decoder.numHiddenLayers;
  const plan: LayerJob['plan'] = {
    ...run.plan,
    propagate: 'original',
    latentRanks: uniformRanks(highest, total),
  };
  const measured: MeasuredLayer[] = [];
  const done = await countDone(output, total);
  const needed = plan.needsCalibration && done < total;
  const batches = needed ? await embedCalibration(source, calibration, signal) : [];
  try {
    for (let index = 0; index < total; index++) {
      signal?.throwIfAborted();
      const job = { ...run, plan, batches, index };
      measured.push(await (index < done ? resumeLayer(job) : measureLayer(job)));
      onProgress?.({ phase: 'measure', loaded: index + 1, total });
    }
  } finally {
    for (const batch of batches) disposeBatch(batch);
  }
  return measured;
}

/** Layers that an earlier run measured, one after another. */
async function countDone(output: ResultOutput, total: number): Promise<number> {
  let done = 0;
  while (done < total && (await output.has(measureName(done)))) done++;
  return done;
}

async function resumeLayer(job: LayerJob): Promise<MeasuredLayer> {
  const { source, output, batches, index } = job;
  if (batches.length > 0) {
    const weights = await readLayer(source, storedLayer(source, index));
    await propagateLayer(job, { weights, pairs: [], fresh: new Map() });
  }
  return readOwnJson<MeasuredLayer>(output, measureName(index));
}

async function measureLayer(job: LayerJob): Promise<MeasuredLayer> {
  const { source, output, index } = job;
  const weights = await readLayer(source, storedLayer(source, index));
  const { factored } = await factorLayer(job, weights);
  const { vision, text } = factored.reports;
  const measured: MeasuredLayer = {
    errors: factored.errors,
    tokens: { vision: vision?.tokens, text: text?.tokens },
  };
  await writeJson(output, measureName(index), measured);
  return measured;
}
