import type { DecoderConfig } from '@mha2mla/mla-runtime';
import {
  mklScores,
  pairsFromRanks,
  type RopePairs,
  ranksFromScores,
  selectPairs,
} from '@mha2mla/partial-rope';
import type { LayerCalibration } from './calibrate-layer';
import type { ConversionPlan } from './convert-options';

/** The pairs of one layer that keep their rotation, as the plan says. */
export function choosePairs(
  config: DecoderConfig,
  plan: ConversionPlan,
  layer: number,
  calibration?: LayerCalibration,
): RopePairs {
  const { headDim, numKeyValueHeads } = config;
  const { ropeDim, strategy, uniformStart } = plan;
  const head = { headDim, numKeyValueHeads, ropeDim };
  if (plan.ranks) {
    const size = numKeyValueHeads * headDim;
    return pairsFromRanks(plan.ranks.subarray(layer * size, (layer + 1) * size), head);
  }
  if (strategy !== 'mkl') return selectPairs(strategy, { ...head, uniformStart });
  if (!calibration) throw new Error('choosePairs: mkl expects calibration, got none.');
  return pairsFromRanks(ranksFromScores(mklScores(calibration.mkl), numKeyValueHeads), head);
}
