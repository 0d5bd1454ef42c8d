import { type DecoderConfig, yieldToEventLoop } from '@mha2mla/mla-runtime';
import {
  addUnrotation,
  emptyUnrotationSums,
  type RopePairs,
  solveUnrotation,
  type Unrotation,
} from '@mha2mla/partial-rope';
import type { LayerCalibration } from './calibrate-layer';
import type { ConversionPlan } from './convert-options';

/** Scores of a head that a sample's fit looks at: some eight rows of a picture and a question. */
const FITTED_SCORES = 4800;

/** What the query's other pairs are multiplied by, or `undefined` where they stay as they are. */
export async function fitUnrotation(
  config: DecoderConfig,
  plan: ConversionPlan,
  pairs: RopePairs,
  calibration: LayerCalibration | undefined,
  signal?: AbortSignal,
): Promise<Unrotation | undefined> {
  if (plan.unrotate === 'plain') return undefined;
  if (!calibration) throw new Error('fitUnrotation: expected calibration, got none.');
  const sums = emptyUnrotationSums(pairs, config);
  for (const sample of calibration.samples) {
    await yieldToEventLoop();
    signal?.throwIfAborted();
    const keys = sample.keyCos.length / (config.headDim / 2);
    addUnrotation(sums, sample, { maxRows: Math.ceil(FITTED_SCORES / keys) });
  }
  return solveUnrotation(sums);
}
