/**
 * The `mha2mla` block of a converted model's config.json. The published keys say how the reference
 * chose rotary dims; ours add what has no place there: the pairs themselves, groups, cache bits.
 */
import type { MlaConfig } from '@mha2mla/mla-runtime';
import { type RopePairs, selectPairs } from '@mha2mla/partial-rope';

interface HeadCounts {
  numHiddenLayers: number;
  numKeyValueHeads: number;
  headDim: number;
}

/**
 * Read the block.
 * @param block `config.mha2mla`, unchecked.
 * @throws RangeError when pairs or groups do not fit the model.
 */
export function parseMlaConfig(
  block: Readonly<Record<string, unknown>>,
  counts: HeadCounts,
): MlaConfig {
  const groups = block.groups ?? 1;
  if (typeof groups !== 'number' || !Number.isSafeInteger(groups) || groups < 1) {
    throw new RangeError(
      `parseMlaConfig: mha2mla.groups must be a positive integer, got ${groups}.`,
    );
  }
  const ropePairs =
    block.rope_pairs === undefined
      ? pairsByStrategy(block, counts)
      : checkPairs(block.rope_pairs, counts);
  return { groups, ropePairs };
}

function pairsByStrategy(
  block: Readonly<Record<string, unknown>>,
  { numHiddenLayers, numKeyValueHeads, headDim }: HeadCounts,
): RopePairs[] {
  const strategy = block.partial_rope_version;
  const ropeDim = block.rope_dim_for_mla;
  const uniformStart = block.uniform_start_point ?? 0;
  if (strategy !== 'high' && strategy !== 'low' && strategy !== 'uniform') {
    throw new RangeError(
      `parseMlaConfig: mha2mla.rope_pairs must be present where partial_rope_version is ${JSON.stringify(strategy)}; only high, low and uniform follow from the config.`,
    );
  }
  if (typeof ropeDim !== 'number' || typeof uniformStart !== 'number') {
    throw new RangeError(
      `parseMlaConfig: mha2mla.rope_dim_for_mla must be a number, got ${JSON.stringify(ropeDim)}.`,
    );
  }
  const pairs = selectPairs(strategy, { headDim, ropeDim, numKeyValueHeads, uniformStart });
  return Array.from({ length: numHiddenLayers }, () => pairs);
}

/** Check [layers][KV heads][pairs]: ascending, within the head, as many for each head of a layer. */
function checkPairs(
  value: unknown,
  { numHiddenLayers, numKeyValueHeads, headDim }: HeadCounts,
): RopePairs[] {
  const fail = (what: string): never => {
    throw new RangeError(`parseMlaConfig: mha2mla.rope_pairs must ${what}.`);
  };
  if (!Array.isArray(value) || value.length !== numHiddenLayers) {
    return fail(`be a list of ${numHiddenLayers} layers`);
  }
  return value.map((layer: unknown) => {
    if (!Array.isArray(layer) || layer.length !== numKeyValueHeads) {
      return fail(`have ${numKeyValueHeads} KV heads a layer`);
    }
    return layer.map((pairs: unknown) => {
      if (!Array.isArray(pairs) || pairs.length !== (layer[0] as unknown[]).length) {
        return fail('have as many pairs for each head of a layer');
      }
      const ascending = pairs.every(
        (pair, i) =>
          Number.isSafeInteger(pair) &&
          pair < headDim / 2 &&
          pair > (i === 0 ? -1 : (pairs[i - 1] as number)),
      );
      if (!ascending) fail(`ascend within [0, ${headDim / 2})`);
      return Int32Array.from(pairs as number[]);
    });
  });
}
