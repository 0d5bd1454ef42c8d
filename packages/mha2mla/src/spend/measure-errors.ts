/**
 * The pass of a search over the original: every layer's errors, each a piece of the output until the
 * run ends, so that a stopped search goes on behind them.
 */

import type { MeasureRun } from '../convert/measure-layers';
import { propagateLayer } from '../convert/propagate-layer';
import { withCalibration } from '../convert/with-calibration';
import { readOwnJson, writeJson } from '../output/result-output';
import { type LayerErrors, type LayerErrorsJob, layerErrors } from './layer-errors';

export function errorsName(layer: number): string {
  return `errors-${String(layer).padStart(5, '0')}.json`;
}

export interface ErrorsRun extends Omit<MeasureRun, 'highest' | 'layers' | 'onProgress'> {
  ranks: LayerErrorsJob['ranks'];
  onProgress?: (progress: { phase: 'search'; loaded: number; total: number }) => void;
}

/** Measure every layer's errors, or take them from an earlier run. */
export async function measureErrors(run: ErrorsRun): Promise<LayerErrors[]> {
  const { source, output, calibration, keepHidden, signal, onProgress } = run;
  const total = source.config.decoder.numHiddenLayers;
  const plan: ErrorsRun['plan'] = { ...run.plan, needsAttention: true, propagate: 'original' };
  let done = 0;
  while (done < total && (await output.has(errorsName(done)))) done++;
  const found: LayerErrors[] = [];
  const samples = done < total ? calibration : [];
  await withCalibration(source, samples, { signal, keepHidden }, async (batches) => {
    for (let index = 0; index < total; index++) {
      signal?.throwIfAborted();
      const job = { ...run, plan, batches, index };
      if (index < done) {
        if (batches.length > 0) await propagateLayer(job, { pairs: [], fresh: new Map() });
        found.push(await readOwnJson<LayerErrors>(output, errorsName(index)));
      } else {
        const errors = await layerErrors(job);
        await writeJson(output, errorsName(index), errors);
        found.push(errors);
      }
      onProgress?.({ phase: 'search', loaded: index + 1, total });
    }
  });
  return found;
}
