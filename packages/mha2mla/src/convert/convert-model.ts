/**
 * Convert a model to multi-head latent attention, layer by layer: one layer's weights and the
 * samples' hidden states are all that is held, so memory does not grow with depth. Each layer is a
 * shard of the output; a run that was stopped goes on at the layer it had reached.
 */
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import type { ReferenceScore } from '../evaluate/score-answers';
import type { ResultOutput } from '../output/result-output';
import { chooseSpending, type Spending } from '../spend/choose-spending';
import { assertRoom } from './assert-room';
import { buildReport, type ConversionReport } from './conversion-report';
import {
  convertLayer,
  type LayerRecord,
  latentSpecsOf,
  recordName,
  shardOf,
} from './convert-layer';
import type { ConversionPlan, ConvertOptions } from './convert-options';
import type { KeepHidden } from './hidden-states';
import { inlineRunner } from './inline-runner';
import { measureName } from './measure-layers';
import { planRanks, sharesOut } from './plan-ranks';
import { plannedBytes } from './planned-bytes';
import { prepareConversion } from './prepare-conversion';
import type { FactorRunner } from './run-factor-job';
import { withCalibration } from './with-calibration';
import { writeFrame } from './write-frame';

/** Options of `convertModel`. */
export interface ConvertRunOptions extends ConvertOptions {
  /** Batches of calibration samples, as the processor gives them. */
  calibration?: readonly ModelInputs[];
  /** Where factorisations are done. Default on this thread; `mha2mla/node` has `factorPool`. */
  factorize?: FactorRunner;
  /** Where the samples' hidden states are kept. Default in memory; `mha2mla/node` has `spillHidden`. */
  keepHidden?: KeepHidden;
  /**
   * Scores of answers over a converted model's cache, those of the same questions each time: what a
   * search asks its best candidates. Default: it takes what is predicted to be the best.
   */
  ask?: (candidate: VlmSource) => Promise<readonly ReferenceScore[]>;
  signal?: AbortSignal;
  /** Called after each candidate or layer, by phase. */
  onProgress?: (progress: {
    phase: 'search' | 'check' | 'measure' | 'convert';
    loaded: number;
    total: number;
  }) => void;
}

/**
 * @returns the report that is also written as `report.json`.
 * @throws RangeError before any work for options or weights that are missing, or do not fit.
 */
export async function convertModel(
  original: VlmSource,
  output: ResultOutput,
  options: ConvertRunOptions,
): Promise<ConversionReport> {
  if (options.spend !== 'auto') return convertAs(original, output, options);
  const { fixed, ...found } = await chooseSpending(original, output, options, (made, own) =>
    convertAs(original, made, own),
  );
  return convertAs(original, output, { ...options, ...fixed }, found);
}

/** Convert as options say, once nothing is left to choose. */
async function convertAs(
  original: VlmSource,
  output: ResultOutput,
  options: ConvertRunOptions,
  found?: { spending: Spending; scratch: readonly string[] },
): Promise<ConversionReport> {
  const { factorize = inlineRunner, keepHidden, signal, onProgress } = options;
  const { source, plan: given, calibration } = prepareConversion(original, options);
  const run = { source, output, factorize, signal };
  await assertRoom(output, (await bytesLeft(source, output, given))(0));
  const plan = await planRanks({ ...run, plan: given, calibration, keepHidden, onProgress });
  const left = await bytesLeft(source, output, plan);
  const samples = plan.needsCalibration ? calibration : [];
  const records: LayerRecord[] = [];
  const total = source.config.decoder.numHiddenLayers;
  await withCalibration(source, samples, { signal, keepHidden }, async (batches) => {
    for (let index = 0; index < total; index++) {
      signal?.throwIfAborted();
      await assertRoom(output, left(index));
      records.push(await convertLayer({ ...run, plan, batches, index }));
      onProgress?.({ phase: 'convert', loaded: index + 1, total });
    }
  });
  await assertRoom(output, left(total));
  const scratch = sharesOut(given) ? [recordName, measureName] : [recordName];
  const own = records.flatMap(({ layer }) => scratch.map((name) => name(layer)));
  return finishConversion(source, output, plan, records, {
    spending: found?.spending,
    scratch: [...own, ...(found?.scratch ?? [])],
  });
}

/**
 * Write what surrounds the layers, once all are written, and make the result visible.
 * @param scratch pieces that only an unfinished run needs.
 */
export async function finishConversion(
  source: VlmSource,
  output: ResultOutput,
  plan: ConversionPlan,
  records: readonly LayerRecord[],
  { spending, scratch }: { spending?: Spending; scratch: readonly string[] },
): Promise<ConversionReport> {
  const latentSpecs = latentSpecsOf(records);
  const done = latentSpecs ? { ...plan, cache: { ...plan.cache, latentSpecs } } : plan;
  const report = {
    ...buildReport(source.config.decoder, source, done, records),
    ...(spending && { spending }),
  };
  await writeFrame(source, output, done, records, report);
  await output.finish(scratch);
  return report;
}

/** @returns bytes that are still to be written once the layers before `index` are done. */
export async function bytesLeft(source: VlmSource, output: ResultOutput, plan: ConversionPlan) {
  const { layers, rest } = plannedBytes(source, plan);
  const missing = await Promise.all(
    layers.map(async (bytes, i) => ((await output.has(shardOf({ source, index: i }))) ? 0 : bytes)),
  );
  return (index: number) => missing.slice(index).reduce((sum, bytes) => sum + bytes, rest);
}
