import type { DecoderConfig } from '@mha2mla/mla-runtime';
import {
  pairsFromRanks,
  type RopePairs,
  ranksFromScores,
  ropeSections,
  selectPairs,
} from '@mha2mla/partial-rope';
import type { ConversionPlan } from './convert-options';

/**
 * The pairs of one layer that keep their rotation, as the plan says.
 * @param scores of its pairs, [K * H / 2], where the plan chooses by scores.
 */
export function choosePairs(
  config: DecoderConfig,
  plan: ConversionPlan,
  layer: number,
  scores?: Float64Array,
): RopePairs {
  const { headDim, numKeyValueHeads, mropeSection } = config;
  const { ropeDim, strategy, uniformStart, sectionQuotas, ranks } = plan;
  const sections =
    sectionQuotas &&
    mropeSection &&
    ropeSections(sectionQuotas, { headDim, ropeDim, mropeSection });
  const head = { headDim, numKeyValueHeads, ropeDim, sections };
  if (ranks) {
    const size = numKeyValueHeads * headDim;
    return pairsFromRanks(ranks.subarray(layer * size, (layer + 1) * size), head);
  }
  if (strategy === 'high' || strategy === 'low' || strategy === 'uniform') {
    return selectPairs(strategy, { ...head, uniformStart });
  }
  if (!scores) throw new Error(`choosePairs: ${strategy} expects scores, got none.`);
  return pairsFromRanks(ranksFromScores(scores, numKeyValueHeads), head);
}
