/**
 * Convert a model to multi-head latent attention, layer by layer: one layer's weights and the
 * samples' hidden states are all that is held, so memory does not grow with depth. Each layer is a
 * shard of the output; a run that was stopped goes on at the layer it had reached.
 */
import {
  assertComplete,
  type ModelInputs,
  type VlmSource,
  videoAsText,
} from '@mha2mla/vlm-adapters';
import type { ResultOutput } from '../output/result-output';
import { disposeBatch } from './calibration-batch';
import { buildReport, type ConversionReport } from './conversion-report';
import { convertLayer, type LayerRecord, recordName } from './convert-layer';
import { type ConvertOptions, planConversion } from './convert-options';
import { embedCalibration } from './embed-calibration';
import type { KeepHidden } from './hidden-states';
import { inlineRunner } from './inline-runner';
import { measureName } from './measure-layers';
import { planRanks, sharesOut } from './plan-ranks';
import type { FactorRunner } from './run-factor-job';
import { writeFrame } from './write-frame';

export interface ConvertRunOptions extends ConvertOptions {
  /** Batches of calibration samples, as the processor gives them. */
  calibration?: readonly ModelInputs[];
  /** Where factorisations are done. Default on this thread; `mha2mla/node` has `factorPool`. */
  factorize?: FactorRunner;
  /** Where the samples' hidden states are kept. Default in memory; `mha2mla/node` has `spillHidden`. */
  keepHidden?: KeepHidden;
  signal?: AbortSignal;
  onProgress?: (progress: { phase: 'measure' | 'convert'; loaded: number; total: number }) => void;
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
  const { calibration = [], factorize = inlineRunner, keepHidden, signal, onProgress } = options;
  const config = original.config.decoder;
  const given = planConversion(config, options);
  assertComplete(original);
  const source = given.videoAsText
    ? { ...original, config: videoAsText(original.config) }
    : original;
  if (given.center && given.layout === 'reference') checkBiases(source);
  if (given.needsCalibration && calibration.length === 0) {
    throw new RangeError(
      'convertModel: calibration samples are needed by strategy mkl, norm2 and greedy, unrotate fitted, init activations or attention and allocation measured, got none.',
    );
  }
  const run = { source, output, factorize, signal };
  const plan = await planRanks({ ...run, plan: given, calibration, keepHidden, onProgress });
  const batches = plan.needsCalibration
    ? await embedCalibration(source, calibration, { signal, keepHidden })
    : [];
  const records: LayerRecord[] = [];
  const total = config.numHiddenLayers;
  try {
    for (let index = 0; index < total; index++) {
      signal?.throwIfAborted();
      records.push(await convertLayer({ ...run, plan, batches, index }));
      onProgress?.({ phase: 'convert', loaded: index + 1, total });
    }
  } finally {
    for (const batch of batches) disposeBatch(batch);
  }
  const report = buildReport(config, source, plan, records);
  await writeFrame(source, output, plan, records, report);
  const scratch = sharesOut(given) ? [recordName, measureName] : [recordName];
  await output.finish(records.flatMap(({ layer }) => scratch.map((name) => name(layer))));
  return report;
}

/** The reference's loader gives keys and values biases where the original has them, nowhere else. */
function checkBiases({ weights }: VlmSource): void {
  const missing = ['k_proj', 'v_proj'].filter(
    (name) => !weights.shape(`layers.0.self_attn.${name}.bias`),
  );
  if (missing.length === 0) return;
  throw new RangeError(
    `convertModel: center with layout reference needs a model whose keys and values have biases, got none of ${missing.join(', ')}. Leave center out, or write the extended layout.`,
  );
}
