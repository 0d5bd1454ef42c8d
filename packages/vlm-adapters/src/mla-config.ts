/**
 * The `mha2mla` block of a converted model's config.json. The published keys say how the reference
 * chose rotary dims; ours add what has no place there: the pairs themselves, groups, cache bits.
 */
import { type ConfigRecord, configBoolean, configInteger, showJson } from '@mha2mla/checkpoint';
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
 * @throws CheckpointError for numbers, RangeError for pairs and groups that do not fit the model.
 */
export function parseMlaConfig(block: ConfigRecord, counts: HeadCounts): MlaConfig {
  const { numKeyValueHeads } = counts;
  if (configBoolean(block, 'is_gqa2mha2mla', false)) {
    throw new RangeError(
      'parseMlaConfig: mha2mla.is_gqa2mha2mla must be false, got true. Keys repeated for every query head are not supported.',
    );
  }
  const groups = configInteger(block, 'groups', { min: 1, max: numKeyValueHeads, default: 1 });
  if (numKeyValueHeads % groups !== 0) {
    throw new RangeError(
      `parseMlaConfig: mha2mla.groups must divide the ${numKeyValueHeads} KV heads, got ${groups}.`,
    );
  }
  const { rope_pairs: pairs } = block;
  return {
    groups,
    ropePairs: pairs === undefined ? pairsByStrategy(block, counts) : checkPairs(pairs, counts),
  };
}

function pairsByStrategy(
  block: ConfigRecord,
  { numHiddenLayers, numKeyValueHeads, headDim }: HeadCounts,
): RopePairs[] {
  const strategy = block.partial_rope_version;
  if (strategy !== 'high' && strategy !== 'low' && strategy !== 'uniform') {
    throw new RangeError(
      `parseMlaConfig: mha2mla.rope_pairs must be present where partial_rope_version is ${showJson(strategy)}; only high, low and uniform follow from the config, and mkl from the rank file that qk_tensor_path names.`,
    );
  }
  const ropeDim = configInteger(block, 'rope_dim_for_mla', { min: 0, max: headDim });
  const uniformStart = configInteger(block, 'uniform_start_point', {
    min: 0,
    max: headDim / 2,
    default: 0,
  });
  const pairs = selectPairs(strategy, { headDim, ropeDim, numKeyValueHeads, uniformStart });
  return Array.from({ length: numHiddenLayers }, () => pairs);
}

/** Check [layers][KV heads][pairs]: ascending, within the head, as many for each head of a layer. */
function checkPairs(
  value: unknown,
  { numHiddenLayers, numKeyValueHeads, headDim }: HeadCounts,
): RopePairs[] {
  return listOf(value, numHiddenLayers, 'layers').map((layer, index) => {
    const heads = listOf(layer, numKeyValueHeads, `KV heads in layer ${index}`);
    const [first] = heads;
    return heads.map((pairs) => {
      const length = Array.isArray(first) ? first.length : 0;
      return ascending(listOf(pairs, length, `pairs for each head of layer ${index}`), headDim / 2);
    });
  });
}

function listOf(value: unknown, length: number, what: string): unknown[] {
  if (Array.isArray(value) && value.length === length) return value;
  throw new RangeError(
    `parseMlaConfig: mha2mla.rope_pairs must list ${length} ${what}, got ${Array.isArray(value) ? value.length : showJson(value)}.`,
  );
}

function ascending(pairs: unknown[], end: number): Int32Array {
  let last = -1;
  return Int32Array.from(pairs, (pair) => {
    if (typeof pair !== 'number' || !Number.isSafeInteger(pair) || pair <= last || pair >= end) {
      throw new RangeError(
        `parseMlaConfig: mha2mla.rope_pairs must ascend within 0..${end - 1}, got ${showJson(pair)}${last < 0 ? '' : ` after ${last}`}.`,
      );
    }
    last = pair;
    return pair;
  });
}
