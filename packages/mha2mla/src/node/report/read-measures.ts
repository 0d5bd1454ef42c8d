/** Reads what was measured of a model: `heal.json`, results of `eval --json`, plots of `bench --json` or an ablation. */
import type { BytesPoint, DrawAgainstBytesOptions } from './draw-against-bytes';
import {
  elements,
  integerOf,
  type JsonValue,
  keysOf,
  member,
  numberOf,
  numbersOf,
  optional,
  required,
  textOf,
  wordOf,
} from './json-value';
import type { CostData, EvaluationData, PlotData } from './run-data';

/** Healings run for thousands of updates. */
const MAX_UPDATES = 10_000_000;
const MAX_PLOTS = 64;
const MAX_SERIES = 64;
const MAX_POINTS = 1000;
/** Kinds of questions: rows of a drawing. */
const MAX_KINDS = 64;

/** @returns the loss of each update. */
export function readLosses(heal: JsonValue): number[] {
  return numbersOf(required(heal, 'losses'), MAX_UPDATES);
}

/** @returns the loss of pictures held out at each look, where there are any. */
export function readHeldOut(heal: JsonValue): number[] | undefined {
  return optional(member(heal, 'heldOut'), (held) =>
    numbersOf(required(held, 'losses'), MAX_UPDATES),
  );
}

export function readEvaluation(result: JsonValue, name: string): EvaluationData {
  return {
    name,
    questions: integerOf(required(result, 'questions'), 1, Number.MAX_SAFE_INTEGER),
    accuracy: numberOf(required(result, 'accuracy'), 0, 1),
    accuracyByKind: optional(member(result, 'accuracyByKind'), (kinds) =>
      keysOf(kinds, MAX_KINDS).map((kind) => [kind, numberOf(required(kinds, kind), 0, 1)]),
    ),
    nll: optional(member(result, 'nll'), (nll) => numberOf(nll)),
    cacheBytesPerToken: optional(member(result, 'cacheBytesPerToken'), (bytes) => numberOf(bytes)),
  };
}

/** What a run cost, as `folderOutput` writes it. */
export function readCost(cost: JsonValue): CostData {
  const [seconds, peakMemoryBytes, sizeBytes] = (
    ['seconds', 'peakMemoryBytes', 'sizeBytes'] as const
  ).map((key) => numberOf(required(cost, key))) as [number, number, number];
  const resumed = member(cost, 'resumed')?.value === true;
  return { seconds, resumed, peakMemoryBytes, sizeBytes };
}

/** Scores against bytes, as `drawAgainstBytes` takes them: `{plots: [{title, series, …}]}`. */
export function readPlots(document: JsonValue): PlotData[] {
  return elements(required(document, 'plots'), MAX_PLOTS).map((plot) => ({
    series: elements(required(plot, 'series'), MAX_SERIES).map((one) => ({
      name: textOf(required(one, 'name')),
      points: elements(required(one, 'points'), MAX_POINTS).map(readPoint),
    })),
    caption: optional(member(plot, 'caption'), textOf),
    options: readPlotOptions(plot),
  }));
}

function readPoint(point: JsonValue): BytesPoint {
  const interval = optional(member(point, 'interval'), (found) => {
    const bounds = numbersOf(found, 2, -Number.MAX_VALUE);
    if (bounds.length === 2) return [bounds[0]!, bounds[1]!] as const;
    throw new RangeError(
      `report: ${found.place} must be [low, high], got ${bounds.length} values.`,
    );
  });
  const [bytes, value] = [required(point, 'bytes'), required(point, 'value')];
  return { bytes: numberOf(bytes), value: anyNumber(value), interval };
}

function readPlotOptions(plot: JsonValue): DrawAgainstBytesOptions {
  return {
    title: textOf(required(plot, 'title')),
    bytesUnit: optional(member(plot, 'bytesUnit'), (unit) =>
      wordOf(unit, ['percent', 'bytes'] as const),
    ),
    bytesLabel: optional(member(plot, 'bytesLabel'), textOf),
    valueLabel: optional(member(plot, 'valueLabel'), textOf),
    valueUnit: optional(member(plot, 'valueUnit'), (unit) =>
      wordOf(unit, ['percent', 'number', 'bytes'] as const),
    ),
    valueScale: optional(member(plot, 'valueScale'), (scale) =>
      wordOf(scale, ['linear', 'log'] as const),
    ),
    original: optional(member(plot, 'original'), (level) => ({
      name: optional(member(level, 'name'), textOf),
      value: anyNumber(required(level, 'value')),
    })),
  };
}

function anyNumber(found: JsonValue): number {
  return numberOf(found, -Number.MAX_VALUE);
}
