/**
 * Selections that need no data (MHA2MLA, arXiv 2502.14837, section 3.1): the fastest pairs, the
 * slowest, or evenly spaced ones.
 */
import { checkRopeDim, type RopePairs } from './rope-pairs';
import { checkSections, type RopeSection } from './rope-sections';

/** Options of `selectPairs`. */
export interface SelectPairsOptions {
  headDim: number;
  /** Dims a head that keep their rotation, even. */
  ropeDim: number;
  numKeyValueHeads: number;
  /** First pair of `uniform`, in each section. Default 0. */
  uniformStart?: number;
  /** Choose in each section by itself. Default: the head is one. */
  sections?: readonly RopeSection[];
}

/**
 * Select the same pairs for every head.
 * @returns per KV head, ropeDim / 2 ascending pair indices.
 * @throws RangeError when `uniform` does not divide a section evenly, or options are out of range.
 */
export function selectPairs(
  strategy: 'high' | 'low' | 'uniform',
  options: SelectPairsOptions,
): RopePairs {
  const { headDim, ropeDim, numKeyValueHeads, uniformStart = 0 } = options;
  checkRopeDim('selectPairs', ropeDim, headDim);
  const whole = { first: 0, size: headDim / 2, kept: ropeDim / 2 };
  const { sections = [whole] } = options;
  checkSections('selectPairs', sections, options);
  const selection = sections.flatMap((section) => {
    const { first, step } = spacing(strategy, section, uniformStart);
    return Array.from({ length: section.kept }, (_, i) => section.first + first + i * step);
  });
  return Array.from({ length: numKeyValueHeads }, () => Int32Array.from(selection));
}

function spacing(strategy: string, { size, kept }: RopeSection, start: number) {
  switch (strategy) {
    case 'high':
      return { first: 0, step: 1 };
    case 'low':
      return { first: size - kept, step: 1 };
    case 'uniform': {
      const step = size / kept;
      if (kept > 0 && (!Number.isInteger(step) || !(start >= 0 && start < step))) {
        throw new RangeError(
          `selectPairs: uniform needs ropeDim to divide headDim, both of each section, and uniformStart < ${step}, got ropeDim=${2 * kept}, headDim=${2 * size}, uniformStart=${start}.`,
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
