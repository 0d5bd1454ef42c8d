/**
 * What a conversion will take, from one layer that is really converted and from the writing of all
 * that surrounds the layers, into an output that keeps nothing.
 */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ResultOutput } from '../output/result-output';
import { highestRank } from './allocate-latents';
import { buildReport } from './conversion-report';
import { convertLayer, type LayerRecord } from './convert-layer';
import type { ConvertRunOptions } from './convert-model';
import type { ConversionPlan } from './convert-options';
import { inlineRunner } from './inline-runner';
import { type MeasureRun, measureLayers } from './measure-layers';
import { sharesOut } from './plan-ranks';
import { plannedBytes } from './planned-bytes';
import { prepareConversion } from './prepare-conversion';
import { widestRank } from './widest-rank';
import { withCalibration } from './with-calibration';
import { writeFrame } from './write-frame';

export interface DryRun {
  layers: number;
  seconds: {
    /** Of the whole conversion, once its samples are prepared. */
    total: number;
    /** Of a layer, with the pass that measures it where ranks are shared by measuring. */
    layer: number;
  };
  diskBytes: {
    /** Of the converted weights. */
    output: number;
    /** Of the samples' hidden states, which lie on disk as far as they do not stay in memory. */
    hiddenStates: number;
  };
}

/**
 * @param output keeps nothing, and takes as long as a real one.
 * @throws RangeError as `convertModel` does; the signal's reason when aborted.
 */
export async function dryRun(
  original: VlmSource,
  output: ResultOutput,
  options: ConvertRunOptions,
): Promise<DryRun> {
  const { factorize = inlineRunner, keepHidden, signal } = options;
  const { source, plan, calibration } = prepareConversion(original, options);
  const run = { source, output, plan, calibration, factorize, keepHidden, signal };
  const layers = source.config.decoder.numHiddenLayers;
  const started = now();
  const measuring = await measureOne(run);
  const { record, embedding, layer, last } = await convertOne(run);
  // Samples are embedded for each pass.
  const measured = Math.max(0, measuring - embedding);
  await writeAround(source, output, plan, Array(layers).fill(record));
  const once = now() - started - measured - layer;
  const { hiddenSize } = source.config.decoder;
  const bytes = plannedBytes(source, plan);
  const tokens = calibration.reduce((sum, { batch, length }) => sum + batch * length, 0);
  return {
    layers,
    seconds: {
      total: once + layers * measured + (layers - 1) * layer + last,
      layer: measured + layer,
    },
    diskBytes: {
      output: bytes.layers.reduce((sum, layerBytes) => sum + layerBytes, bytes.rest),
      hiddenStates: plan.needsCalibration ? 4 * hiddenSize * tokens : 0,
    },
  };
}

function now(): number {
  return performance.now() / 1000;
}

/** Seconds of the pass that shares out ranks, with one layer; 0 where there is none. */
async function measureOne(run: Omit<MeasureRun, 'highest'>): Promise<number> {
  const { plan, source } = run;
  if (!sharesOut(plan)) return 0;
  const highest = highestRank(plan.rank, widestRank(source.config.decoder, plan));
  const started = now();
  await measureLayers({ ...run, highest, layers: 1 });
  return now() - started;
}

interface ConvertedOne {
  record: LayerRecord;
  /** Seconds in which samples were embedded. */
  embedding: number;
  /** Seconds of the layer, and of a last one, behind which samples need not go on. */
  layer: number;
  last: number;
}

/** Convert the first layer. */
async function convertOne({
  calibration,
  keepHidden,
  ...run
}: Omit<MeasureRun, 'highest'>): Promise<ConvertedOne> {
  const { source, plan, signal } = run;
  const began = now();
  const samples = plan.needsCalibration ? calibration : [];
  return withCalibration(source, samples, { signal, keepHidden }, async (batches) => {
    const started = now();
    let written = started;
    const onWritten = () => {
      written = now();
    };
    const record = await convertLayer({ ...run, batches, index: 0, onWritten });
    return {
      record,
      embedding: started - began,
      layer: now() - started,
      last: written - started,
    };
  });
}

async function writeAround(
  source: VlmSource,
  output: ResultOutput,
  plan: ConversionPlan,
  records: readonly LayerRecord[],
): Promise<void> {
  const numbered = records.map((record, layer) => ({ ...record, layer }));
  const report = buildReport(source.config.decoder, source, plan, numbered);
  await writeFrame(source, output, plan, numbered, report);
}
