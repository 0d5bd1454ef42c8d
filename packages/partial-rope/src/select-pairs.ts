/**
 * Selections that need no data (MHA2MLA, arXiv 2502.14837, section 3.1): the fastest pairs, the
 * slowest, or evenly spaced ones.
 */
import { checkRopeDim, type RopePairs } from './rope-pairs';

export interface SelectPairsOptions {
  headDim: number;
  /** Dims a head that keep their rotation, even. */
  ropeDim: number;
  numKeyValueHeads: number;
  /** First pair of `uniform`. Default 0. */
  uniformStart?: number;
}

/**
 * Select the same pairs for every head.
 * @returns per KV head, ropeDim / 2 ascending pair indices.
 * @throws RangeError when `uniform` does not divide the head evenly, or options are out of range.
 */
export function selectPairs(
  strategy: 'high' | 'low' | 'uniform',
  options: SelectPairsOptions,
): RopePairs {
  const { headDim, ropeDim, numKeyValueHeads } = options;
  checkRopeDim('selectPairs', ropeDim, headDim);
  const pairs = headDim / 2;
  const kept = ropeDim / 2;
  const { first, step } = spacing(strategy, pairs, kept, options.uniformStart ?? 0);
  const selection = Int32Array.from({ length: kept }, (_, i) => first + i * step);
  return Array.from({ length: numKeyValueHeads }, () => selection.slice());
}

function spacing(strategy: string, pairs: number, kept: number, start: number) {
  switch (strategy) {
    case 'high':
      return { first: 0, step: 1 };
    case 'low':
      return { first: pairs - kept, step: 1 };
    case 'uniform': {
      const step = pairs / kept;
      if (kept > 0 && (!Number.isInteger(step) || !(start >= 0 && start < step))) {
        throw new RangeError(
          `selectPairs: uniform needs ropeDim to divide headDim and uniformStart < ${step}, got ropeDim=${2 * kept}, headDim=${2 * pairs}, uniformStart=${start}.`,
        );
      }
      return { first: start, step };
    }
    default:
      throw new RangeError(
        `selectPairs: strategy must be high, low or uniform, got ${JSON.stringify(strategy)}.`,
      );
  }
}
