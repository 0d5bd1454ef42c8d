/** Reads `report.json` of a conversion. Older ones lack spectra and scores, which are then not drawn. */
import { showJson } from '@mha2mla/checkpoint';
import {
  elements,
  integerOf,
  integersOf,
  type JsonValue,
  keysOf,
  member,
  numberOf,
  numbersOf,
  optional,
  required,
  textOf,
} from './json-value';
import type { ConversionData, FactorData, LayerData } from './run-data';

// Beyond any model: published ones have up to 126 layers, 128 KV heads and heads of 256 dims, 128
// pairs. A map of pairs has layers times pairs cells, times 8 at most for heads.
const MAX_LAYERS = 512;
const MAX_HEADS = 1024;
const MAX_PAIRS = 512;
/** Latent dims a KV head: no more than a model is wide. */
const MAX_RANK = 65_536;
/** A spectrum is written at 128 points or fewer. */
const MAX_POINTS = 4096;
const MAX_OPTIONS = 256;
/** Of a conversion's error: it is far below 1, but for a bug that should be seen. */
const MAX_ERROR = 1e6;

/** @throws RangeError naming the value that is not as it must be. */
export function readConversion(report: JsonValue): ConversionData {
  const options = required(report, 'options');
  const bytes = required(report, 'cacheBytesPerToken');
  const layers = elements(required(report, 'layers'), MAX_LAYERS).map((layer, index) =>
    readLayer(layer, index, options),
  );
  const mropeSection = optional(member(report, 'mropeSection'), readSection);
  return {
    family: textOf(required(report, 'family')),
    options: keysOf(options, MAX_OPTIONS).map((name) => [name, optionText(options, name)]),
    layers,
    cacheBytesPerToken: {
      original: numberOf(required(bytes, 'original')),
      converted: numberOf(required(bytes, 'converted')),
    },
    pairs: pairsOf(report, layers, mropeSection),
    mropeSection,
  };
}

function readSection(found: JsonValue): number[] {
  const section = integersOf(found, 3, 0, MAX_PAIRS);
  const pairs = section.reduce((sum, count) => sum + count, 0);
  if (section.length === 3 && pairs <= MAX_PAIRS) return section;
  throw new RangeError(
    `report: ${found.place} must be 3 counts that sum to at most ${MAX_PAIRS}, got [${section}].`,
  );
}

function readLayer(found: JsonValue, index: number, options: JsonValue): LayerData {
  const perHead = (key: string, read: (head: JsonValue) => number[]) =>
    optional(member(found, key), (heads) => elements(heads, MAX_HEADS).map(read));
  const factor = (modality: 'vision' | 'text') =>
    optional(member(found, modality), (part) =>
      readFactor(part, chosenRank(options, modality, index)),
    );
  return {
    layer: integerOf(required(found, 'layer'), 0, MAX_LAYERS),
    ropePairs: perHead('ropePairs', (head) => integersOf(head, MAX_PAIRS, 0, MAX_PAIRS - 1)) ?? [],
    pairScores: perHead('pairScores', (head) => numbersOf(head, MAX_PAIRS, -Number.MAX_VALUE)),
    vision: factor('vision'),
    text: factor('text'),
  };
}

function readFactor(found: JsonValue, rank: number | undefined): FactorData {
  return {
    relativeError: numberOf(required(found, 'relativeError'), 0, MAX_ERROR),
    retainedEnergy: numberOf(required(found, 'retainedEnergy'), -(MAX_ERROR ** 2), 1),
    rank: optional(member(found, 'rank'), (own) => integerOf(own, 0, MAX_RANK)) ?? rank,
    spectrum: optional(member(found, 'spectrum'), readSpectrum),
  };
}

function readSpectrum(found: JsonValue) {
  const [ranks, tail] = (['ranks', 'tail'] as const).map((key) =>
    numbersOf(required(found, key), MAX_POINTS),
  );
  if (ranks!.length !== tail!.length) {
    throw new RangeError(
      `report: ${found.place} must have as many ranks as tails, got ${ranks!.length} and ${tail!.length}.`,
    );
  }
  return { ranks: ranks!, tail: tail! };
}

/** Of a budget's table, else the one rank of all. */
function chosenRank(options: JsonValue, modality: string, layer: number): number | undefined {
  const table = optional(member(options, 'latentRanks'), (ranks) => member(ranks, modality));
  const own = table ? elements(table, MAX_LAYERS)[layer] : member(options, 'rank');
  return optional(own, (rank) => integerOf(rank, 0, MAX_RANK));
}

/** Of a head; older reports tell no more than the last pair that they name. */
function pairsOf(
  report: JsonValue,
  layers: readonly LayerData[],
  section: readonly number[] | undefined,
): number {
  const headDim = optional(member(report, 'headDim'), (dim) => integerOf(dim, 0, 2 * MAX_PAIRS));
  const counts = layers.flatMap(({ ropePairs, pairScores = [] }) => [
    ...pairScores.map((scores) => scores.length),
    ...ropePairs.flat().map((pair) => pair + 1),
  ]);
  const told = section?.reduce((sum, count) => sum + count, 0) ?? 0;
  const least = Math.max(told, Math.ceil((headDim ?? 0) / 2));
  return counts.reduce((most, count) => Math.max(most, count), least);
}

function optionText(options: JsonValue, name: string): string {
  const value = member(options, name)?.value;
  return typeof value === 'string' ? value : value === undefined ? '' : showJson(value);
}
